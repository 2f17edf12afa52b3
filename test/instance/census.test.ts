/** What a census finds, on a machine that is a table: processes, what they have open, and what their environment says. */
import { expect, test } from "bun:test";
import type { RecordedGeneration, StartedGeneration } from "../../src/generation/record.ts";
import { takeCensus } from "../../src/instance/census.ts";
import type { RecordedState } from "../../src/instance/state-file.ts";
import { type Os, realOs } from "../../src/os/os.ts";
import { TEE } from "../../src/os/process-names.ts";
import type { Process } from "../../src/os/procfs.ts";
import { readsIn } from "../harness/reads.ts";

const UID = process.getuid?.() ?? 0;
const PUBLIC = "unix:/run/app.sock";

interface Life extends Partial<Process> {
  pid: number;
  /** Of generation. */
  of: number;
  sockets?: number[];
  environment?: string[];
  uid?: number;
}

const processOf = ({ pid, command = "server", startTime = 1 }: Life): Process => ({
  ...{ pid, startTime, ppid: 1, session: pid, state: "S", command },
});

/** A machine on which these live; `names` are paths and the inodes of the files behind them. */
function machine(lives: Life[], names: Record<string, number> = {}): Os {
  const one = (pid: number) => lives.find((life) => life.pid === pid);
  return {
    ...realOs,
    isRunning: ({ pid }) => one(pid) !== undefined,
    uidOf: ({ pid }) => (one(pid) ? (one(pid)?.uid ?? UID) : undefined),
    tree: ({ marks }) => lives.filter(({ of }) => marks.includes(`HUPWATCH_GENERATION=${of}`)).map(processOf),
    marked: (line) =>
      lives.flatMap((life) =>
        life.environment?.includes(line) ? [{ process: processOf(life), environment: life.environment }] : [],
      ),
    socketsOf: (pid) => new Map((one(pid)?.sockets ?? []).map((inode, fd) => [`${inode}`, fd])),
    inodeOf: (path) => names[path],
  };
}

const recorded = (number: number, more: Partial<StartedGeneration> = {}): StartedGeneration => ({
  ...{ number, hupwatchPid: 7, pid: 100 + number, startTime: 1, uid: UID, role: "serving" },
  listeners: [{ address: PUBLIC, inode: number, privatePath: `/run/.app.sock.hupwatch-7-${number}` }],
  ...more,
});

const state = (...generations: RecordedGeneration[]): RecordedState => ({
  ...{ version: 1, name: "web", hupwatch: { pid: 7, startTime: 1 }, last: 3, generations },
});

const census = (os: Os, ...generations: RecordedGeneration[]) =>
  takeCensus(state(...generations), { commandUid: UID, addresses: [] }, os);

test("a leader that runs, its workers' sockets, and what the public path leads to", () => {
  const names = { "/run/app.sock": 11, "/run/.app.sock.hupwatch-7-1": 11, "/run/.app.sock.hupwatch-7-2": 12 };
  const lives = [
    { pid: 101, of: 1 },
    { pid: 500, of: 1, sockets: [1, 77] },
    { pid: 102, of: 2, sockets: [2] },
  ];
  const { survivors, last } = census(machine(lives, names), recorded(1), recorded(2, { role: "retiring" }));
  expect(survivors).toMatchObject([
    { number: 1, isRecorded: true, isLed: true, mayAccept: true, isPublic: true, sockets: new Set([1, 77]) },
    { number: 2, isLed: true, mayAccept: true, isPublic: false },
  ]);
  expect(last).toBe(3);
});

test("a dead leader's workers may accept, its tee does not, though both keep the socket open", () => {
  const workers = census(machine([{ pid: 500, of: 1, sockets: [1] }]), recorded(1));
  expect(workers.survivors).toMatchObject([{ isLed: false, mayAccept: true }]);
  const tee = census(machine([{ pid: 500, of: 1, sockets: [1], command: TEE }]), recorded(1));
  expect(tee.survivors).toMatchObject([{ isLed: false, mayAccept: false, sockets: new Set([1]) }]);
});

test("nothing lives: nothing is found", () => {
  expect(census(machine([]), recorded(1)).survivors).toEqual([]);
});

test("one that was started between the fork and the state's write is known by its environment", () => {
  const environment = ["HUPWATCH_PID=7", "HUPWATCH_NAME=web", "HUPWATCH_GENERATION=4"];
  const planned = { ...recorded(4), pid: undefined, startTime: undefined, role: "starting" as const };
  const lives = [
    { pid: 501, of: 4, startTime: 6, environment },
    // The oldest that has the marks is its leader.
    { pid: 500, of: 4, startTime: 5, environment, sockets: [4] },
  ];
  const { survivors, last } = census(machine(lives), planned);
  expect(survivors).toMatchObject([
    { number: 4, pid: 500, startTime: 5, isRecorded: false, mayAccept: true, role: "starting" },
  ]);
  expect(last).toBe(4);
});

// F18: another user's process with three variables was taken over as the service.
test("another user's process says nothing, neither by its environment nor by a number that came again", () => {
  const environment = ["HUPWATCH_PID=7", "HUPWATCH_NAME=web", "HUPWATCH_GENERATION=4"];
  const stranger = { pid: 500, of: 4, uid: UID + 4242, environment, sockets: [4] };
  const planned = { ...recorded(4), pid: undefined, startTime: undefined };
  expect(census(machine([stranger]), planned).survivors).toEqual([]);
  const again = { pid: 101, of: 1, uid: UID + 4242, sockets: [1] };
  expect(census(machine([again]), recorded(1, { uid: UID + 1 })).survivors).toEqual([]);
});

test("the marks of another name's generation are not ours", () => {
  const environment = ["HUPWATCH_PID=7", "HUPWATCH_NAME=other", "HUPWATCH_GENERATION=4"];
  expect(census(machine([{ pid: 500, of: 4, environment, sockets: [4] }])).survivors).toEqual([]);
});

// 9abb3bc read all of /proc for each generation that is recorded, and once more for those that are not.
test("the machine is looked at once, however many generations are recorded", () => {
  // Dead ones: of those any process could be a leftover.
  const dead = [1, 2, 3, 4].map((number) => recorded(number, { pid: 2 ** 22 + number }));
  const one = readsIn(() => census(realOs, ...dead.slice(0, 1)));
  const four = readsIn(() => census(realOs, ...dead));
  expect(one).toBeGreaterThan(10);
  expect(four).toBeLessThan(2 * one);
});
