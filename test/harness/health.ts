/** What must be true of a hupwatch and its gunicorn after any accident. */
import { expect } from "bun:test";
import { readdirSync } from "node:fs";
import type { StoredState } from "../../src/instance/state-file.ts";
import type { Hupwatch } from "./hupwatch.ts";
import type { Lives } from "./lives.ts";
import { highestGeneration } from "./log-lines.ts";
import type { Transport } from "./site.ts";
import { until } from "./until.ts";

/** The master and two workers, and hupwatch, which has their words in its own. */
const PROCESSES = 4;

export const socketFiles = (path: string) => readdirSync(path).filter((name) => name.includes("sock"));

/** The public path and the serving generation's own name; over TCP nothing. */
export const filesOf = (transport: Transport) => (transport === "unix" ? 2 : 0);

/** The state file says so. */
export const servedBy =
  (number: number) =>
  ({ generations }: StoredState): boolean =>
    generations.some((g) => g.number === number && g.role === "serving");

/** One generation and no more, and it can be swapped. */
export async function assertHealthy(lives: Lives, hupwatch: Hupwatch, path: string, transport: Transport) {
  const next = highestGeneration(hupwatch.log) + 1;
  await hupwatch.swap(next);
  await lives.assertAlone(hupwatch);
  const own = () =>
    hupwatch
      .tree()
      .filter(({ command }) => command.includes("gunicorn wsgi"))
      .map(({ pid, ppid, state, command }) => `${pid} ${ppid} ${state} ${command}`);
  await until(() => own().length === PROCESSES, {
    what: "one generation and no more",
    context: () => `${own().join("\n")}\n${lives.log}`,
  });
  expect(socketFiles(path)).toHaveLength(filesOf(transport));
}
