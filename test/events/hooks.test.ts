/** Hooks, by what their shell lines see and do; and that none of them holds up a swap. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { HOOK_EVENTS, parseHook } from "../../src/plan/hook.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";

/** Each of its commands is a start of the runtime, and the machine may be busy. */
setDefaultTimeout(120_000);

test("EVENT=CMD, and the command may have its own '='", () => {
  expect(parseHook("swapped=A=1 ./notify")).toEqual({ event: "swapped", line: "A=1 ./notify" });
  for (const wrong of ["swapped", "swapped=", "nothing=true", "constructor=true", "=true"])
    expect(() => parseHook(wrong)).toThrow(`--hook '${wrong}' is not a hook`);
  expect([...HOOK_EVENTS] as string[]).toEqual([
    "ready",
    "unconfirmed",
    "swapped",
    "rolled-back",
    "crashed",
    "stopped",
  ]);
});

const SERVER = `#!/bin/sh
[ -e broken ] && { echo "no such module" >&2; exit 3; }
exec sleep 1000
`;

test("each event runs its hook, in order, with the facts; a generation's end takes none with it", async () => {
  using dir = tempDir();
  writeFileSync(`${dir.path}/server`, SERVER, { mode: 0o755 });
  const line = (facts: string) => `echo "$HUPWATCH_EVENT $HUPWATCH_NAME ${facts}" >> told`;
  const hooks = [
    ["ready", line("$HUPWATCH_GENERATION")],
    // Longer than the swap takes: it must neither delay it nor be swept away with a generation.
    ["swapped", `sleep 1; ${line("$HUPWATCH_GENERATION after $HUPWATCH_RETIRED pid=$HUPWATCH_PID")}`],
    ["rolled-back", line("$HUPWATCH_GENERATION $HUPWATCH_EXIT_CODE $HUPWATCH_STDERR")],
    ["stopped", line("$HUPWATCH_MASTER_PID")],
  ].flatMap(([event, cmd]) => ["--hook", `${event}=${cmd}`]);
  const options = ["-k", "-w", "0", "--name", "h", "--ready", "delay:0.1", ...hooks];
  await using hupwatch = await startHupwatch([...options, "--", "./server"], { cwd: dir.path });
  hupwatch.hup();
  await hupwatch.until(LOG.gone(1));
  expect(existsSync(`${dir.path}/told`) && readFileSync(`${dir.path}/told`, "utf8")).not.toContain("swapped");
  hupwatch.hup();
  await hupwatch.until(LOG.gone(2));
  writeFileSync(`${dir.path}/broken`, "");
  hupwatch.hup();
  await hupwatch.until(LOG.rolledBack);
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  expect(readFileSync(`${dir.path}/told`, "utf8").trim().split("\n")).toEqual([
    "ready h 1",
    "ready h 2",
    "swapped h 2 after 1 pid=",
    "ready h 3",
    "swapped h 3 after 2 pid=",
    "rolled-back h 4 3 no such module",
    `stopped h ${hupwatch.pid}`,
  ]);
});

test("I5: a hook that fails, hangs or cannot be run is told and harms nothing", async () => {
  using dir = tempDir();
  const hooks = ["ready=exit 7", "swapped=sleep 1000 & sleep 1000", "stopped=echo bye > bye"];
  const options = ["-k", "-w", "0", "--ready", "delay:0", "--hook-timeout", "0.5"];
  const given = hooks.flatMap((hook) => ["--hook", hook]);
  await using hupwatch = await startHupwatch([...options, ...given, "--", "sleep", "1000"], {
    cwd: dir.path,
  });
  await hupwatch.until(/warn: hook ready 'exit 7' exited with code 7/);
  await hupwatch.swap(2);
  await hupwatch.until(/hook swapped '.*' did not end within 0.5 s and was killed/);
  await until(() => !hupwatch.tree().some((p) => p.command === "sleep 1000" && p.ppid === 1), {
    what: "what the hook started to be gone",
  });
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  expect(existsSync(`${dir.path}/bye`)).toBe(true);
  await hupwatch.assertTreeGone();
});

// F10's kind: what is wrong with a release must not keep the alarm about it from being sent.
test("a hook runs where the release's directory is gone", async () => {
  using dir = tempDir();
  mkdirSync(`${dir.path}/release`);
  const hook = `rolled-back=echo "$PWD" > ${dir.path}/new; mv ${dir.path}/new ${dir.path}/told`;
  const options = ["-k", "-w", "0", "--ready", "delay:0", "--chdir", `${dir.path}/release`, "--hook", hook];
  await using hupwatch = await startHupwatch([...options, "--", "sleep", "1000"], { cwd: dir.path });
  rmdirSync(`${dir.path}/release`);
  hupwatch.hup();
  await hupwatch.until(LOG.rolledBack);
  await until(() => existsSync(`${dir.path}/told`), {
    what: "the hook",
    timeoutMs: 10_000,
    context: () => hupwatch.log,
  });
  expect(readFileSync(`${dir.path}/told`, "utf8")).toBe("/\n");
});
