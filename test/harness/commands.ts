/** Command lines of the fixtures, for `sh -c`: it becomes the command, so the pid stays. */
import { ROOT } from "../setup/places.ts";

/** The small server of fixtures/apps. */
export const TINY = `'${process.execPath}' '${ROOT}/fixtures/apps/tiny.ts'`;

/** A program of fixtures/children. */
export function child(name: string, ...args: (string | number)[]): string {
  const path = `'${ROOT}/fixtures/children/${name}'`;
  return [name.endsWith(".ts") ? `'${process.execPath}' ${path}` : path, ...args].join(" ");
}

/** The words of one command for every generation. */
export const always = (command: string) => ["sh", "-c", `exec ${command}`];

/** One command line for generation 1, another for all later ones. */
export const firstThen = (first: string, later: string) => [
  "sh",
  "-c",
  `[ "$HUPWATCH_GENERATION" = 1 ] && exec ${first}; exec ${later}`,
];
