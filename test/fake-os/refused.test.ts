/**
 * Each look at the machine fails once, the first, the second ... time that it is taken: a swap ends well or is rolled back, the one
 * after it serves, and an ordered stop leaves nothing. https://github.com/nodejs/node/issues/1666 (inotify is used up),
 * https://github.com/rfjakob/earlyoom/issues/328 (a call is forbidden).
 */
import { expect, test } from "bun:test";
import { hearOfBugs } from "../../src/os/aid.ts";
import { SystemError } from "../../src/os/libc.ts";
import { delayCheck } from "../../src/ready/delay.ts";
import { Stage } from "./stage.ts";

const LOOKS = [
  ...[
    "tree",
    "strays",
    "uidOf",
    "isRunning",
    "marked",
    "socketsOf",
    "inodeOf",
    "watchConnections",
    "accepts",
  ],
  ...["seenAtMs", "listenersOf", "expects", "oomKills"],
] as const;
const ERRNOS = ["EPERM", "ENOENT", "EMFILE", "ENOSPC", "ENOMEM"];
/** More calls of one kind than a whole life has. */
const CALLS_MAX = 200;

/** True where the call was made at all. */
async function live(look: string, errno: string, at: number): Promise<boolean> {
  const stage = new Stage({ drainUntilIdleMs: 1000, checks: [delayCheck(100)] });
  const machine = stage.os as unknown as Record<string, (...args: unknown[]) => unknown>;
  const real = machine[look]?.bind(stage.os);
  let calls = 0;
  machine[look] = (...args) => {
    if (++calls === at) throw new SystemError(look, errno);
    return real?.(...args);
  };
  using _bugs = hearOfBugs((bug) => expect(bug).toBeInstanceOf(SystemError));
  // What a timer throws goes there, too, in the process.
  const turn = (ms: number) => stage.turn(ms).catch((error) => expect(error).toBeInstanceOf(SystemError));
  const rest = async () => {
    for (let second = 0; second < 60; second++) await turn(1000);
  };
  const served = new Set<number>();
  const tidy = () => {
    for (const child of stage.os.children) if (child.signals.length > 0 && child.running) child.exits();
  };
  await stage.begin();
  await rest();
  for (let swap = 0; swap < 3; swap++) {
    await stage.post("swap");
    await rest();
    tidy();
    await rest();
    served.add(stage.held.public ?? 0);
  }
  expect({ look, errno, at, serving: stage.held.public }).toEqual({
    look,
    errno,
    at,
    serving: expect.any(Number),
  });
  expect(served.size).toBeGreaterThanOrEqual(2);
  expect(stage.running).toEqual([stage.child(stage.held.public ?? 0).pid]);
  await stage.post("stop");
  tidy();
  await rest();
  expect({ look, errno, at, ending: stage.ending }).toEqual({ look, errno, at, ending: expect.anything() });
  expect(stage.running).toEqual([]);
  return calls >= at;
}

test.each(LOOKS)(
  "%s fails once, whenever that is: nobody is without service, and nothing stays behind",
  async (look) => {
    for (const errno of ERRNOS) for (let at = 1; at < CALLS_MAX && (await live(look, errno, at)); at++);
  },
);

// "generation 2 serves, generation 1 retired", and its TERM was refused: it was never asked to stop, and killed after a minute.
test("a stop signal that is refused is sent again, well before the one that follows it", async () => {
  const stage = new Stage({ checks: [delayCheck(100)] });
  await stage.begin();
  await stage.turn(1000);
  const old = stage.child(1);
  const { kill } = old;
  let refused = 0;
  old.kill = (signal) => (refused++ < 3 ? false : kill.call(old, signal));
  await stage.post("swap");
  await stage.turn(100);
  await stage.turn(1000);
  expect(old.signals).toEqual([]);
  for (let again = 0; again < 3; again++) await stage.turn(100);
  expect(old.signals).toEqual(["SIGTERM"]);
  await stage.turn(29_600);
  expect(old.signals).toEqual(["SIGTERM"]);
  old.exits();
  await stage.turn(0);
  expect(stage.running).toEqual([stage.child(2).pid]);
});
