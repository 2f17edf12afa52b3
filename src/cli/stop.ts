/** `hupwatch stop`: stops the service gracefully and hupwatch with it, and waits until both are gone. */
import { setTimeout as after } from "node:timers/promises";
import { ask } from "../control/client.ts";
import type { StopAnswer } from "../control/protocol.ts";
import { ANSWER, HupwatchError } from "../error.ts";
import { processOf } from "../os/procfs.ts";
import { plain } from "../text.ts";
import { command } from "./command.ts";
import { print, printJson } from "./print.ts";
import { TARGET_HELP, TARGET_OPTIONS, targetOf } from "./target.ts";
import { duration } from "./values.ts";

export const STOP_OPTIONS = {
  timeout: { type: "string", value: "DUR", help: "wait so long for the end", default: "90s" },
  ...TARGET_OPTIONS,
} as const;

const LOOK_MS = 20;

const EPILOGUE = `${TARGET_HELP}
EXIT CODES

  0  stopped, nothing is left
  2  usage, or no target where several run
  3  not gone in time: it goes on stopping; a second 'stop' hurries it; or it refused
  4  no such hupwatch

  A supervisor may start it again: stop it there where one runs.`;

export default command({
  name: "stop",
  summary: "Stop a running hupwatch and its command gracefully, and wait.",
  usage: "[options] [TARGET]",
  options: STOP_OPTIONS,
  usageExitCode: 2,
  examples: [{ command: "hupwatch stop shop", meaning: "by name" }],
  epilogue: EPILOGUE,
  async run({ values, positionals }) {
    const timeoutMs = duration(values.timeout ?? "90s", "--timeout", 1);
    const endAt = performance.now() + timeoutMs;
    const { socket, pid } = targetOf(positionals, values["run-dir"]);
    const identity = pid ? processOf(pid) : undefined;
    const answer = await ask<StopAnswer>(socket, "hupwatch-stop/1", {
      method: "POST",
      target: "/stop",
      timeoutMs,
    });
    // Its hooks may still run, and its lock is its own until it is gone: a start right after this must find it free.
    while (identity && processOf(identity.pid)?.startTime === identity.startTime) {
      if (performance.now() > endAt) throw late(answer.name, identity.pid);
      if (processOf(identity.pid)?.state === "Z") break;
      await after(LOOK_MS);
    }
    if (values.json) await printJson(answer);
    else await print(`${plain(answer.name)}: ${answer.outcome}\n`);
    return ANSWER.yes;
  },
});

const late = (name: string, pid: number) =>
  new HupwatchError("stop.late", `${name}: the service has ended, hupwatch (pid ${pid}) has not`, {
    exitCode: ANSWER.timeout,
    hint: "a 'stopped' hook may still run; --timeout waits for longer",
  });
