/** `hupwatch stop`: stops the service gracefully and hupwatch with it, and waits until both are gone. */
import { setTimeout as after } from "node:timers/promises";
import { ask } from "../control/client.ts";
import type { StopAnswer } from "../control/protocol.ts";
import { ANSWER, HupwatchError } from "../error.ts";
import type { Instance } from "../instance/instances.ts";
import { stopLeft } from "../instance/stop-left.ts";
import { realOs } from "../os/os.ts";
import { processOf } from "../os/procfs.ts";
import { plain } from "../text.ts";
import { command, withDefaults } from "./command.ts";
import { print, printJson } from "./print.ts";
import { leftOver, TARGET_HELP, TARGET_OPTIONS, targetOf } from "./target.ts";
import { duration } from "./values.ts";

export const STOP_OPTIONS = {
  timeout: { type: "string", value: "DUR", help: "wait this long for the end", default: "90s" },
  ...TARGET_OPTIONS,
} as const;

const LOOK_MS = 20;

const EPILOGUE = `${TARGET_HELP}
EXIT CODES

  0  stopped, nothing is left
  2  usage, or no target where several run
  3  not gone in time: it goes on stopping, and a second 'stop' hurries it; or it refused
  4  no such hupwatch

  By its NAME a service is stopped even if its hupwatch is gone.

  A supervisor may start it again: under a supervisor, stop it there.`;

export default command({
  name: "stop",
  summary: "Stop a running hupwatch and its command gracefully, and wait.",
  usage: "[options] [TARGET]",
  options: STOP_OPTIONS,
  usageExitCode: 2,
  examples: [{ command: "hupwatch stop shop", meaning: "by name" }],
  epilogue: EPILOGUE,
  async run({ values, positionals }) {
    const timeoutMs = duration(withDefaults(STOP_OPTIONS, values).timeout, "--timeout", 1);
    const endAt = performance.now() + timeoutMs;
    const left = leftOver(positionals, values["run-dir"]);
    if (left) {
      const answer = await stopped(left, timeoutMs);
      if (values.json) await printJson(answer);
      else await print(`${plain(left.name)}: stopped; its hupwatch was gone\n`);
      return ANSWER.yes;
    }
    const { socket, pid } = targetOf(positionals, values["run-dir"]);
    const identity = pid ? processOf(pid) : undefined;
    const answer = await ask<StopAnswer>(socket, "hupwatch-stop/1", {
      method: "POST",
      target: "/stop",
      timeoutMs,
    });
    // Its hooks may still run, and it has its lock until it is gone: a start right after this must find the lock free.
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

/** Its hupwatch is gone: this process stops the service instead. */
async function stopped({ name, runDir, left }: Instance, timeoutMs: number): Promise<StopAnswer> {
  const pids = left.map(({ pid }) => pid).join(", ");
  const { promise: inTime, reject } = Promise.withResolvers<never>();
  const limit = setTimeout(() => reject(unended(name, pids, "did not end in time")), timeoutMs);
  try {
    const leftBehind = await Promise.race([stopLeft({ runDir, name }, realOs, () => {}), inTime]);
    if (leftBehind.length > 0)
      throw unended(name, leftBehind.map(({ pid }) => pid).join(", "), "outlived SIGKILL");
    return { schema: "hupwatch-stop/1", name, outcome: "stopped" };
  } finally {
    clearTimeout(limit);
  }
}

const unended = (name: string, pids: string, why: string) =>
  new HupwatchError("stop.late", `${name}: the service that its hupwatch left running (pid ${pids}) ${why}`, {
    exitCode: ANSWER.timeout,
    hint: `run 'hupwatch stop ${name}' again, or give a longer --timeout`,
  });

const late = (name: string, pid: number) =>
  new HupwatchError("stop.late", `${name}: the service has ended, hupwatch (pid ${pid}) has not`, {
    exitCode: ANSWER.timeout,
    hint: "a 'stopped' hook may still run; give a longer --timeout",
  });
