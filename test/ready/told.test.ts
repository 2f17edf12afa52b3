/** The checks that ask no socket: time, a line, a datagram, a command. On a turned clock. */
import { describe, expect, test } from "bun:test";
import type { ExitStatus } from "../../src/os/spawn.ts";
import { parseCheck } from "../../src/ready/parse.ts";
import { TurnedClock } from "../fake-os/clock.ts";
import { thrownBy } from "../harness/thrown.ts";
import { ask } from "./stage.ts";

test("delay: passes when it has lived so long, and never before", async () => {
  const clock = new TurnedClock();
  using asking = ask(parseCheck("delay:1.5"), [], { clock });
  await clock.turn(1499);
  expect(asking.passed).toBe(0);
  await clock.turn(1);
  expect(asking.passed).toBe(1);
});

test("a delay that is given up never passes", async () => {
  const clock = new TurnedClock();
  ask(parseCheck("delay:1"), [], { clock })[Symbol.dispose]();
  expect(clock.idle).toBe(true);
});

describe("line", () => {
  test("a line that matches passes, others do not", () => {
    using asking = ask(parseCheck("line:^Listening on \\d+$"));
    expect(asking.obstacle).toContain("has not written such a line");
    for (const text of ["Not Listening on 80", "Listening on port", ""]) asking.line(text);
    expect(asking.passed).toBe(0);
    asking.line("Listening on 80");
    expect(asking.passed).toBe(1);
  });

  test("an expression that is none is refused by name", () => {
    expect(thrownBy(() => parseCheck("line:(")).message).toContain("--ready 'line:('");
  });
});

describe("notify", () => {
  test("READY=1 passes, a status is told, the deadline moves", () => {
    using asking = ask(parseCheck("notify"));
    asking.notify({ STATUS: "loading", EXTEND_TIMEOUT_USEC: "5000000" });
    expect(asking.obstacle).toBe("it has not sent READY=1 (its status: loading)");
    expect(asking.extensions).toEqual([5000]);
    asking.notify({ READY: "0" });
    expect(asking.passed).toBe(0);
    asking.notify({ READY: "1" });
    expect(asking.passed).toBe(1);
  });
});

describe("exec", () => {
  function runs() {
    const started: { line: string; end: (status: ExitStatus) => void; killed: boolean }[] = [];
    const run = (line: string) => {
      const { promise, resolve } = Promise.withResolvers<ExitStatus>();
      const one = { line, end: resolve, killed: false };
      started.push(one);
      const kill = () => {
        one.killed = true;
      };
      return { exited: promise, kill };
    };
    return { started, run };
  }
  const code = (n: number): ExitStatus => ({ code: n, signal: undefined });

  test("tried again after a failure, until it exits with 0; never two at a time", async () => {
    const clock = new TurnedClock();
    const { started, run } = runs();
    using asking = ask(parseCheck("exec:curl -f http://x/"), [], { clock, run });
    await clock.turn(1000);
    expect(started.map((one) => one.line)).toEqual(["curl -f http://x/"]);
    started[0]?.end(code(7));
    await clock.turn(250);
    expect(asking.obstacle).toBe("it exited with 7");
    expect(started).toHaveLength(2);
    started[1]?.end(code(0));
    await clock.turn(0);
    expect(asking.passed).toBe(1);
  });

  test("I5: one that hangs is killed after ten seconds, and one that is given up is killed at once", async () => {
    const clock = new TurnedClock();
    const { started, run } = runs();
    const asking = ask(parseCheck("exec:sleep 1000"), [], { clock, run });
    await clock.turn(9900);
    expect(started[0]?.killed).toBe(false);
    await clock.turn(400);
    expect(started[0]?.killed).toBe(true);
    started[0]?.end({ code: undefined, signal: "SIGKILL" });
    await clock.turn(250);
    expect(asking.obstacle).toBe("it was ended by SIGKILL");
    asking[Symbol.dispose]();
    expect(started[1]?.killed).toBe(true);
    await clock.turn(1000);
    expect(started).toHaveLength(2);
  });
});

test.each([
  "",
  "tcp",
  "http:health",
  "connect:80",
  "delay",
  "delay:",
  "delay:x",
  "line",
  "line:",
  "exec:",
  "HTTP",
])("'%s' is no check, and the sentence says which there are", (text) => {
  const error = thrownBy(() => parseCheck(text));
  expect(error.message).toContain(text);
  expect(error.exitCode).toBe(125);
  expect(error.hint).toBeString();
});
