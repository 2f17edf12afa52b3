/** `hupwatch reload`: requests a swap, waits for its end, exits by its outcome. */
import { ask } from "../control/client.ts";
import type { ReloadAnswer, StatusAnswer } from "../control/protocol.ts";
import { formatDuration } from "../duration.ts";
import { ANSWER } from "../error.ts";
import type { Doubt } from "../events/service-event.ts";
import type { FailureFacts } from "../events/words.ts";
import { plain } from "../text.ts";
import { command, withDefaults } from "./command.ts";
import { print, printJson } from "./print.ts";
import { TARGET_HELP, TARGET_OPTIONS, targetOf } from "./target.ts";
import { duration } from "./values.ts";

export const RELOAD_OPTIONS = {
  wait: { type: "boolean", negated: true, help: "request the swap, and exit at once" },
  timeout: { type: "string", value: "DUR", help: "wait this long for the outcome", default: "90s" },
  ...TARGET_OPTIONS,
} as const;

/** Lines of stderr that fit on a screen together with the reason above them; --json has all that are kept. */
const LINES_SHOWN = 30;
const FRAMES_BEGIN = 1;
const FRAMES_END = 4;

const EPILOGUE = `${TARGET_HELP}
EXIT CODES

  0  swapped: a generation that started after this call serves
  1  rolled back, and why: the old generation goes on; or the last new one still waits for 'hupwatch confirm'
  2  usage, or no target where several run
  3  no answer in time, and the swap goes on; or too many clients wait already; or unproven: nothing shows that the new one accepts
  4  no such hupwatch`;

export default command({
  name: "reload",
  summary: "Swap a running hupwatch's command, wait, and exit by the outcome.",
  usage: "[options] [TARGET]",
  options: RELOAD_OPTIONS,
  usageExitCode: 2,
  examples: [
    { command: "hupwatch reload && echo deployed", meaning: "the only hupwatch that runs" },
    { command: "hupwatch reload shop --timeout 3m --json", meaning: "by name, the answer for a script" },
  ],
  epilogue: EPILOGUE,
  run: ({ values: { wait, ...values }, positionals }) =>
    requestSwap(wait === false ? "/reload?wait=0" : "/reload", values, positionals),
});

interface Asked {
  timeout?: string;
  "run-dir"?: string;
  json?: boolean;
}

/** Requests a new generation, prints the outcome, and returns the exit code. */
export async function requestSwap(
  target: string,
  values: Asked,
  positionals: readonly string[],
): Promise<number> {
  const timeoutMs = duration(withDefaults(RELOAD_OPTIONS, values).timeout, "--timeout", 1);
  const { socket } = targetOf(positionals, values["run-dir"]);
  const isWaiting = !target.endsWith("?wait=0");
  const answer = await ask<ReloadAnswer>(socket, "hupwatch-reload/1", {
    method: "POST",
    target,
    timeoutMs: timeoutMs + (isWaiting ? await confirmMsOf(socket, timeoutMs) : 0),
  });
  if (values.json) await printJson(answer);
  else await print(`${inWords(answer)}\n`, isGood(answer) ? "stdout" : "stderr");
  if (answer.outcome === "unproven") return ANSWER.timeout;
  return isGood(answer) ? ANSWER.yes : ANSWER.no;
}

/** The time of --confirm comes on top of --timeout. */
async function confirmMsOf(socket: string, timeoutMs: number): Promise<number> {
  const question = { method: "GET", target: "/status", timeoutMs } as const;
  const { confirmMs = 0 } = await ask<StatusAnswer>(socket, "hupwatch-status/1", question);
  return confirmMs;
}

const isGood = ({ outcome }: ReloadAnswer) => outcome === "swapped" || outcome === "asked";

export function inWords(answer: ReloadAnswer): string {
  const { outcome, generation, serving, readyMs, durationMs, failure } = answer;
  const name = plain(answer.name);
  switch (outcome) {
    case "asked":
      return `${name}: requested generation ${generation}`;
    case "swapped": {
      const ready = readyMs === undefined ? "" : `, ready in ${formatDuration(readyMs)}`;
      const took = durationMs === undefined ? "" : `, swapped in ${formatDuration(durationMs)}`;
      return `${name}: generation ${generation} serves${ready}${took}`;
    }
    case "unproven":
      return `${name}: generation ${generation} took over, unproven: ${UNPROVEN[answer.doubt ?? "shared"]}`;
    case "rolled-back":
      return [
        `${name}: rolled back, generation ${serving} goes on`,
        `  generation ${generation} ${plain(failure?.reason ?? "failed")}`,
        ...lastLines(failure),
      ].join("\n");
    case "unconfirmed":
      return `${name}: not swapped: generation ${generation} waits for 'hupwatch confirm' or 'hupwatch rollback'`;
    case "not-held":
      return `${name}: nothing to resume: no connections wait (hupwatch hold)`;
    case "ended":
      return [
        `${name}: not swapped: ${plain(failure?.reason ?? "hupwatch has ended")}`,
        ...lastLines(failure),
      ].join("\n");
  }
}

const UNPROVEN: Record<Doubt, string> = {
  shared: [
    "the listener is shared, and nothing shows that it accepts",
    "To fix: give a check that only the new generation passes, e.g. --ready 'line:startup complete', or --ready delay:10s",
  ].join("\n"),
  nowhere: [
    "it has come to rest and listens nowhere, so nothing shows that it serves",
    "To fix: if it listens later, or never, give a check that shows that it works, e.g. --ready 'line:worker ready', or use --handover none",
  ].join("\n"),
};

function lastLines(failure: FailureFacts | undefined): string[] {
  const lines = shortened(failure?.stderr ?? []);
  return lines.length === 0 ? [] : ["  its last lines:", ...lines.map((line) => `    ${plain(line)}`)];
}

/**
 * If there are too many lines, most are frames of stack traces, which every language indents: gunicorn writes those of two workers and of
 * its master one after the other. Of each trace the outermost and innermost frames are shown, so that the cause stays on the screen.
 */
function shortened(lines: readonly string[]): readonly string[] {
  if (lines.length <= LINES_SHOWN) return lines;
  const isFrame = (i: number) => /^\s/.test(lines[i] ?? "");
  const shown: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    let end = i;
    while (isFrame(end)) end++;
    if (end - i <= FRAMES_BEGIN + FRAMES_END + 1) shown.push(...lines.slice(i, Math.max(end, i + 1)));
    else shown.push(...lines.slice(i, i + FRAMES_BEGIN), "  …", ...lines.slice(end - FRAMES_END, end));
    i = Math.max(end, i + 1) - 1;
  }
  return shown.slice(-LINES_SHOWN);
}
