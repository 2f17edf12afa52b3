/** What a person sees of a status, letter by letter. */
import { expect, test } from "bun:test";
import { fit, Screen } from "../../src/cli/screen.ts";
import { ageOf, renderStatus, summaryLine } from "../../src/cli/status-table.ts";
import type { StatusAnswer } from "../../src/control/protocol.ts";

const NOW = Date.parse("2026-01-02T00:00:00Z");
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

const answer: StatusAnswer = {
  schema: "hupwatch-status/1",
  name: "shop",
  version: "1.0.0",
  pid: 4711,
  phase: "warming",
  startedAt: ago(7500),
  directory: "/srv/shop/current",
  command: ["gunicorn", "app:app"],
  server: "gunicorn",
  generations: [
    {
      number: 6,
      pid: 4719,
      role: "retiring",
      startedAt: ago(7400),
      readyMs: 410,
      proven: true,
      processes: 5,
      residentBytes: 108 << 20,
    },
    {
      number: 7,
      pid: 4820,
      role: "serving",
      startedAt: ago(3),
      readyMs: 1430,
      proven: false,
      processes: 5,
      residentBytes: 112 << 20,
    },
  ],
  sockets: [
    { name: "app.sock", address: "unix:/run/app.sock", cutover: "steer", queued: 3 },
    { name: "web", address: "unix:@web", cutover: "share" },
  ],
  swaps: [
    {
      generation: 6,
      from: 4,
      outcome: "swapped",
      endedAt: ago(7399),
      durationMs: 1410,
      readyMs: 410,
    },
    {
      generation: 5,
      from: 4,
      outcome: "rolled-back",
      endedAt: ago(65),
      durationMs: 300,
      failure: { reason: "exited with code 3 after 0.30 s" },
    },
  ],
  counts: { swapped: 1, rolledBack: 1, crashed: 2, rescued: 1, kept: 0, closed: 0 },
};

const instance = { name: "shop", runDir: "/run/hupwatch", pid: 4711, socket: "/x", left: [] };

test("generations, sockets, swaps", () => {
  expect(renderStatus([{ instance, answer }], NOW)).toBe(
    `shop   swapping: both serve   pid 4711   up 2 h 05 m   hupwatch 1.0.0
/srv/shop/current$ gunicorn app:app

GENERATION  PID   STATE     AGE       READY IN    PROCESSES  MEMORY
6           4719  retiring  2 h 03 m  0.41 s      5          108 MB
7           4820  serving   3 s       1.43 s (?)  5          112 MB

SOCKET              NAME      CUTOVER  QUEUE
unix:/run/app.sock  app.sock  steer    3
unix:@web           web       share    ?

LAST SWAPS                       READY IN  IN ALL
1 m 05 s ago  to 5  rolled back  -         0.30 s  exited with code 3 after 0.30 s
2 h 03 m ago  to 6  swapped      0.41 s    1.41 s

2 crashes, 1 client of dead generations passed on`,
  );
});

test("one that cannot be asked, and one that is only left over", () => {
  const generation = {
    number: 3,
    pid: 99,
    startTime: 1,
    hupwatchPid: 1,
    role: "serving",
    listeners: [],
  } as const;
  const left = { ...instance, pid: undefined, socket: undefined, left: [{ ...generation, listeners: [] }] };
  expect(renderStatus([{ instance: { ...instance, socket: undefined } }, { instance: left }], NOW)).toBe(
    "shop   pid 4711   runs without a control socket\n\n" +
      "shop   generation 3 (pid 99) serves on without hupwatch; the next start of the same command takes it over, 'hupwatch stop shop' ends it",
  );
  const two = { ...left, left: [...left.left, { ...generation, number: 4, pid: 100, listeners: [] }] };
  expect(renderStatus([{ instance: two }], NOW)).toBe(
    "shop   generation 3 (pid 99), generation 4 (pid 100) serve on without hupwatch; " +
      "the next start of the same command takes them over, 'hupwatch stop shop' ends them",
  );
});

test("a line for each state, without what changes all the time", () => {
  const line = summaryLine({ instance, answer });
  expect(line).toBe(
    "shop   swapping: both serve   generation 6 retiring (pid 4719)   generation 7 serving (pid 4820)   " +
      "last swap rolled back: exited with code 3 after 0.30 s",
  );
  expect(summaryLine({ instance, answer: { ...answer, startedAt: ago(1) } })).toBe(line);
});

test.each([
  [0, "0 s"],
  [59, "59 s"],
  [65, "1 m 05 s"],
  [3600, "1 h 00 m"],
  [90_000, "1 d 1 h"],
])("%d s ago is '%s'", (seconds, text) => {
  expect(ageOf(ago(seconds), NOW)).toBe(text);
});

test("what does not fit the terminal is cut, with a mark", () => {
  expect(fit("one\ntwo\nthree", 5, 3)).toEqual(["one", "two", "three"]);
  expect(fit("one\nand two\nthree\nfour", 6, 3)).toEqual(["one", "and t…", "… 2 m…"]);
});

test("what a directory or a command has in it gives the terminal no orders", () => {
  const odd = { ...answer, directory: "/srv/new\nline", command: ["sh", "-c", "\x1b[2J"] };
  expect(renderStatus([{ instance, answer: odd }], NOW)).toContain("\n/srv/new\\nline$ sh -c \\x1b[2J\n");
});

test("a terminal that says it has no size is taken for one of 80 by 24", () => {
  const written: string[] = [];
  const unsized = { columns: 0, rows: 0, write: (text: string) => written.push(text) };
  using screen = new Screen(unsized as unknown as NodeJS.WriteStream);
  screen.draw("shop   serving\nline 2");
  expect(written.at(-1)).toContain("shop   serving\x1b[K\r\nline 2");
});

test("how much longer new connections are held", () => {
  const held: StatusAnswer = { ...answer, phase: "holding", heldUntil: ago(-28) };
  expect(renderStatus([{ instance, answer: held }], NOW)).toContain(
    "\nnew connections wait for 'hupwatch reload', 28.00 s more; else a fresh copy gets them\n",
  );
});
