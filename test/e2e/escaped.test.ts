/**
 * I6, F16: "a process that daemonizes with a cleaned environment is neither ended nor reported": fork, setsid, fork, `env -i`.
 */
import { expect, test } from "bun:test";
import { always, TINY } from "../harness/commands.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { killEntry, readProcess } from "../harness/processes.ts";
import { until } from "../harness/until.ts";

const ESCAPED =
  /left running, since they belong to no generation: (.*), which became children of hupwatch while generation (\d+) ran/g;

/** Its parents have ended by the time that the server starts; `$!` is what env(1) and sleep(1) go on with. */
const DAEMON = `(setsid env -i /bin/sleep 1000 </dev/null >/dev/null 2>&1 & echo "daemon $!")`;

test("an escaped process is named once, with its pid, and left alone", async () => {
  const port = await freePort();
  const options = ["-k", "-w", "0", "--ready", "http", "--handover", "systemd", "-b", `127.0.0.1:${port}`];
  const server = ["sh", "-c", `${DAEMON}; exec ${TINY}`];
  await using hupwatch = await startHupwatch([...options, "--", ...server]);
  await hupwatch.swap(2);
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  const daemons = [...hupwatch.output.matchAll(/daemon (\d+)/g)].map(([, pid]) => Number(pid));
  using _cleanUp = ended(daemons);
  expect(daemons).toHaveLength(2);
  const told = [...hupwatch.log.matchAll(ESCAPED)].map(([, processes, generation]) => [
    processes,
    generation,
  ]);
  expect(told).toEqual([
    [`${daemons[0]} (sleep, has the listener of 127.0.0.1:${port} open)`, "1"],
    [`${daemons[1]} (sleep, has the listener of 127.0.0.1:${port} open)`, "2"],
  ]);
  expect(daemons.map((pid) => readProcess(pid)?.state)).toEqual(["S", "S"]);
  // https://github.com/d2iq-archive/marathon-lb/issues/28: "an escaped process keeps the old TCP listener", and no start succeeds.
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow("ECONNREFUSED");
  await using _again = await startHupwatch([...options, "--", ...always(TINY)]);
});

test("what the generation's own takedown finds is not named, nor what a hook leaves behind", async () => {
  const port = await freePort();
  const hook = "swapped=(setsid /bin/sleep 1000 </dev/null >/dev/null 2>&1 & echo hook-daemon $! >&2)";
  const options = ["-k", "-w", "0", "--ready", "http", "--hook", hook, "-b", `127.0.0.1:${port}`];
  const marked = `(setsid /bin/sleep 1000 </dev/null >/dev/null 2>&1 &)`;
  await using hupwatch = await startHupwatch([
    ...options,
    "--",
    ...always(`sh -c '${marked}; exec "$@"' sh ${TINY}`),
  ]);
  await hupwatch.swap(2);
  await until(() => /hook-daemon (\d+)/.test(hupwatch.log), { what: "the hook" });
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  expect(hupwatch.log).toMatch(LOG.gone(2));
  expect(hupwatch.log).not.toContain("belong to no generation");
});

function ended(pids: readonly number[]): Disposable {
  const entries = pids.flatMap((pid) => readProcess(pid) ?? []);
  return {
    [Symbol.dispose]: () => {
      for (const entry of entries) killEntry(entry, "SIGKILL");
    },
  };
}

/** "Deploys kill jobs that the app has started on purpose", and said nothing: https://github.com/alpacax/alpamon/pull/327 */
test("a process that is killed on purpose is named with its command; one that is started as the README says outlives a release", async () => {
  const port = await freePort();
  const options = ["-k", "-w", "0", "--ready", "http", "--handover", "systemd", "-b", `127.0.0.1:${port}`];
  const killed = "(setsid sleep 1001 </dev/null >/dev/null 2>&1 &)";
  const spared =
    '(setsid env -u HUPWATCH_PID -u HUPWATCH_GENERATION sleep 1002 3<&- </dev/null >/dev/null 2>&1 & echo "job $!")';
  const server = `case $HUPWATCH_GENERATION in 1) ${killed}; ${spared};; esac; exec ${TINY}`;
  await using hupwatch = await startHupwatch([...options, "--", "sh", "-c", server]);
  await hupwatch.swap(2);
  const job = Number(/job (\d+)/.exec(hupwatch.output)?.[1]);
  using _cleanUp = ended([job]);
  expect(hupwatch.log).toMatch(/generation 1: sent SIGTERM to \d+ \(sleep: their leader has ended\)/);
  expect(readProcess(job)?.state).toBe("S");
  expect(hupwatch.log).toContain(`left running, since they belong to no generation: ${job} (sleep)`);
});
