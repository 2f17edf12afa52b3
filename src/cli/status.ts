/** `hupwatch status`: what runs, as a table, as JSON, or live. */
import { ask } from "../control/client.ts";
import type { LeftAnswer, StatusAnswer } from "../control/protocol.ts";
import { ANSWER, HupwatchError } from "../error.ts";
import type { Instance } from "../instance/instances.ts";
import { json as jsonOf } from "../text.ts";
import { command } from "./command.ts";
import { print } from "./print.ts";
import { Screen } from "./screen.ts";
import { untilInterrupted } from "./signals.ts";
import { renderStatus, type Shown, summaryLine } from "./status-table.ts";
import { instancesFor, TARGET_OPTIONS } from "./target.ts";

export const STATUS_OPTIONS = {
  watch: { type: "boolean", short: "w", help: "go on until Ctrl-C: redraw, or print a line for each change" },
  ...TARGET_OPTIONS,
} as const;

const ASK_MS = 5000;
const REDRAW_MS = 1000;

const EPILOGUE = `TARGET

  a name, a pid or the path of a control socket; left out: all of this user

EXIT CODES

  0  shown
  2  usage
  3  one did not answer
  4  none runs (services that one has left running are shown)`;

export default command({
  name: "status",
  summary: "Show running hupwatches: generations, sockets, last swaps.",
  usage: "[options] [TARGET]",
  options: STATUS_OPTIONS,
  usageExitCode: 2,
  examples: [
    { command: "hupwatch status --watch", meaning: "all of this user, live" },
    { command: "hupwatch status shop --json", meaning: "one of them, for a script" },
  ],
  epilogue: EPILOGUE,
  async run({ values, positionals }) {
    const look = () => askAll(instancesFor(positionals, values["run-dir"]));
    const shown = await look();
    if (values.watch) return watch(shown, look, values.json === true);
    if (shown.length === 0) throw noInstance();
    const text = values.json ? asJson(shown) : renderStatus(shown, Date.now());
    await print(`${text}\n`);
    if (shown.some((one) => one.problem)) return ANSWER.timeout;
    return shown.some(({ instance }) => instance.pid !== undefined) ? ANSWER.yes : ANSWER.none;
  },
});

const noInstance = () =>
  new HupwatchError("instance.none", "no hupwatch of this user runs", {
    exitCode: ANSWER.none,
    hint: "start one: hupwatch -- COMMAND; it may also run as another user, or with a --run-dir of its own",
  });

const askAll = (instances: readonly Instance[]): Promise<Shown[]> => Promise.all(instances.map(askOne));

async function askOne(instance: Instance): Promise<Shown> {
  if (instance.socket === undefined) return { instance };
  try {
    const question = { method: "GET", target: "/status", timeoutMs: ASK_MS } as const;
    return { instance, answer: await ask<StatusAnswer>(instance.socket, "hupwatch-status/1", question) };
  } catch (error) {
    if (!(error instanceof HupwatchError)) throw error;
    // Of a path nothing else is known than that no hupwatch is there.
    if (instance.pid === 0 && error.exitCode === ANSWER.none) throw error;
    return { instance, problem: error.message };
  }
}

const asJson = (shown: readonly Shown[]): string => jsonOf(shown.map(entryOf));

/** The answer; an instance that cannot give one is listed with name and pid. */
function entryOf({ instance: { name, pid, left }, answer, problem }: Shown) {
  if (answer) return answer;
  if (pid !== undefined) return { name, pid: pid || null, left, problem };
  return leftAnswer(name, left);
}

const leftAnswer = (name: string, left: LeftAnswer["left"]): LeftAnswer => ({
  schema: "hupwatch-status/1",
  name,
  pid: null,
  phase: "left",
  left,
});

/** Redrawn on a terminal; elsewhere a line (or a JSON object a line) for each change. */
async function watch(first: readonly Shown[], look: () => Promise<Shown[]>, json: boolean): Promise<number> {
  using interrupt = untilInterrupted();
  using screen = process.stdout.isTTY && !json ? new Screen(process.stdout) : undefined;
  const said = new Map<string, string>();
  let seen: Look = { shown: first };
  while (!interrupt.signal.aborted) {
    const { shown, whyNone = "no hupwatch of this user runs" } = seen;
    if (screen) screen.draw(renderStatus(shown, Date.now()) || whyNone);
    else if (!(await sayChanges(shown, said, json))) break;
    await interrupt.pause(REDRAW_MS);
    seen = await lookAgain(look);
  }
  return ANSWER.yes;
}

interface Look {
  shown: readonly Shown[];
  /** Why there is none of that name, pid or path. */
  whyNone?: string;
}

/** An instance that was named may come back. */
async function lookAgain(look: () => Promise<Shown[]>): Promise<Look> {
  try {
    return { shown: await look() };
  } catch (error) {
    if (error instanceof HupwatchError && error.exitCode === ANSWER.none)
      return { shown: [], whyNone: error.message };
    throw error;
  }
}

/** False where no process reads the output any more. */
async function sayChanges(
  shown: readonly Shown[],
  said: Map<string, string>,
  json: boolean,
): Promise<boolean> {
  const gone = [...said.keys()].filter((name) => !shown.some(({ instance }) => instance.name === name));
  for (const name of gone) said.delete(name);
  const lines = gone.map((name) => (json ? jsonOf(leftAnswer(name, [])) : `${name}   gone`));
  for (const one of shown) {
    const line = summaryLine(one);
    if (said.get(one.instance.name) === line) continue;
    said.set(one.instance.name, line);
    lines.push(json ? jsonOf(entryOf(one)) : line);
  }
  return lines.length === 0 || (await print(lines.map((line) => `${line}\n`).join("")));
}
