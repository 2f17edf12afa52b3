/**
 * Configured pid files: two copies fight over one, and the copy that ends removes it. Each generation writes its own, FILE.N, and FILE has
 * hupwatch's pid, so that HUP, USR1 and QUIT reach hupwatch.
 */
import { resolve } from "node:path";
import type { ServerTraits } from "../adapter.ts";

export interface GenerationPidfile {
  /** What the server is told instead, with `{gen}`; undefined where nothing has to be. */
  own?: string;
  traits: Pick<ServerTraits, "pidfile">;
  notes: string[];
}

/** `file` is as the server was told, by its words or by its configuration. With `{gen}` in it the user has chosen. */
export function generationPidfile(file: string | undefined, directory: string): GenerationPidfile {
  if (file === undefined || file === "" || isOwn(file)) return { traits: {}, notes: [] };
  const path = resolve(directory, file);
  const own = `${path}.{gen}`;
  return { own, traits: { pidfile: { path, ofGeneration: own } }, notes: [pidfileNote(path)] };
}

/** The user has given each generation a name of its own. */
export const isOwn = (path: string): boolean => path.includes("{gen}");

export const pidfileNote = (pidfile: string): string =>
  `two copies would fight over the pid file ${pidfile}: each generation's is ${pidfile}.N, and ${pidfile} has hupwatch's own pid (unless --pidfile names another file), so that HUP, USR1 and QUIT reach hupwatch`;

/** Of a server that can be told no other name: hupwatch writes again what a generation has overwritten or removed. */
export const sharedPidfileNote = (pidfile: string): string =>
  `every copy writes the pid file ${pidfile}, and removes it when it ends: hupwatch writes its own pid there (unless --pidfile names another file), so that HUP, USR1 and QUIT reach hupwatch`;
