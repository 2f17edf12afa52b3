/** `[target]` of reload, status and stop: a name, a pid or the path of a control socket; left out where there is only one. */
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { ANSWER, HupwatchError } from "../error.ts";
import { findInstances, type Instance, instanceOf, runDirsOf } from "../instance/instances.ts";
import type { OptionTable } from "./command.ts";
import { usage } from "./values.ts";

export const TARGET_OPTIONS = {
  "run-dir": {
    type: "string",
    value: "DIR",
    help: "where its runtime files are",
    otherwise: "all usual places",
  },
  json: { type: "boolean", help: "print the answer as JSON" },
} as const satisfies OptionTable;

/** For commands that take exactly one. */
export const TARGET_HELP = `TARGET

  a name, a pid or the path of a control socket; leave it out if only one
  hupwatch of this user runs ('hupwatch status' lists them)
`;

export interface Target {
  /** For messages. */
  name: string;
  /** Of its control socket. */
  socket: string;
  pid: number | undefined;
}

/** All that are to be shown: the one that was named, else every one of this user. */
export function instancesFor(positionals: readonly string[], runDir: string | undefined): Instance[] {
  const [text, second] = positionals;
  if (second !== undefined) throw usage(`two targets: '${text}' and '${second}'`, "name one");
  if (text === "") throw usage("the target '' is empty", "name one, or leave it out; is a variable not set?");
  if (runDir !== undefined) requireRunDir(runDir);
  const uid = process.getuid?.() ?? 0;
  const all = findInstances(runDirsOf(runDir, process.env, uid), uid);
  if (text === undefined) return all;
  if (text.includes("/")) return [atPath(resolve(text), all)];
  const found = all.filter((one) => one.name === text || String(one.pid) === text);
  if (found.length > 0) return found;
  const elsewhere = /^\d+$/.test(text) ? instanceOf(Number(text)) : undefined;
  if (elsewhere) return [elsewhere];
  throw noInstance(`no hupwatch is called '${text}' or has that pid`, all);
}

function requireRunDir(path: string): void {
  if (existsSync(path) && statSync(path).isDirectory()) return;
  throw new HupwatchError("run-dir.none", `no run directory ${path}`, {
    exitCode: ANSWER.none,
    hint: "give the --run-dir that hupwatch was started with, or leave it out",
  });
}

/** The one that is meant. Throws with exit code 4 where there is none and 2 where there are several. */
export function targetOf(positionals: readonly string[], runDir: string | undefined): Target {
  const found = instancesFor(positionals, runDir);
  const living = found.filter(({ pid }) => pid !== undefined);
  const [one, another] = living;
  if (!one) throw noInstance("no hupwatch of this user runs", found);
  if (another) throw usage(`several are running: ${listed(living)}`, "name one of them");
  if (one.socket === undefined)
    throw new HupwatchError("control.none", `hupwatch '${one.name}' (pid ${one.pid}) has no control socket`, {
      exitCode: ANSWER.none,
      hint: `kill -HUP ${one.pid} swaps it; it was started with --no-control, or its log says why`,
    });
  return { name: one.name, socket: one.socket, pid: one.pid };
}

/** A service whose hupwatch is gone. Only its name finds it, so that nothing is ended by mistake. */
export function leftOver([name]: readonly string[], runDir: string | undefined): Instance | undefined {
  if (name === undefined || name === "" || name.includes("/")) return undefined;
  const uid = process.getuid?.() ?? 0;
  const found = findInstances(runDirsOf(runDir, process.env, uid), uid).filter((one) => one.name === name);
  return found.every(({ pid }) => pid === undefined) ? found[0] : undefined;
}

/** Name and pid come from the run directory, if the socket is in one that we know. */
function atPath(socket: string, all: readonly Instance[]): Instance {
  const known = all.find((one) => one.socket === socket);
  return known ?? { name: socket, runDir: "", pid: 0, socket, left: [] };
}

const listed = (instances: readonly Instance[]) =>
  instances.map(({ name, pid }) => (pid === undefined ? name : `${name} (pid ${pid})`)).join(", ");

function noInstance(message: string, all: readonly Instance[]): HupwatchError {
  const living = all.filter(({ pid }) => pid !== undefined);
  const left = all.filter(({ pid }) => pid === undefined);
  const hint =
    living.length > 0
      ? `these are running: ${listed(living)}`
      : left.length > 0
        ? `${listed(left)} ${left.length === 1 ? "serves" : "serve"} on without hupwatch: start the same command line again to take over, or stop ${left.length === 1 ? "it" : "one"}: hupwatch stop ${left[0]?.name}`
        : "start one: hupwatch -- COMMAND; or it runs as another user, or with a --run-dir of its own";
  return new HupwatchError("instance.none", message, { exitCode: ANSWER.none, hint });
}
