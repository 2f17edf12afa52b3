/** Lines for a reader that hangs: none waits, those that were kept come whole and in order, and the lost ones are counted. */
import { describe, expect, test } from "bun:test";
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { isWritable, pipe, setBlocking, write } from "../../src/os/libc.ts";
import { LineWriter } from "../../src/os/line-writer.ts";
import { TurnedClock } from "../fake-os/clock.ts";
import { tempDir } from "../harness/temp-dir.ts";

/** Of a pipe, without waiting for more. */
function drain(fd: number): string {
  const was = setBlocking(fd, "nonblocking");
  const chunks: Buffer[] = [];
  try {
    for (;;) {
      const buffer = Buffer.alloc(65536);
      const n = readSync(fd, buffer);
      if (n === 0) break;
      chunks.push(buffer.subarray(0, n));
    }
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("EAGAIN");
  }
  setBlocking(fd, was);
  return Buffer.concat(chunks).toString();
}

function fullPipe() {
  const { read, write: end } = pipe();
  const filling = Buffer.alloc(4096, ".");
  while (isWritable(end)) write(end, filling);
  const close = () => {
    for (const fd of [read, end]) closeSync(fd);
  };
  return { read, write: end, [Symbol.dispose]: close };
}

const lineOf = (n: number) => `${String(n).padStart(6, "0")} ${"x".repeat(90)}\n`;

test("a reader that is back gets what was kept, whole and in order, and learns how many lines it missed", async () => {
  using full = fullPipe();
  const clock = new TurnedClock();
  const told: number[] = [];
  using writer = new LineWriter(full.write, clock, (dropped) => {
    told.push(dropped);
    writer.write(`${dropped} dropped\n`);
  });
  for (let n = 0; n < 2000; n++) writer.write(lineOf(n));
  await clock.turn(1000);
  expect(told).toEqual([]);
  drain(full.read);
  await clock.turn(1000);
  writer.write("and on\n");
  const lines = drain(full.read).split("\n");
  const kept = lines.filter((line) => line.endsWith("x"));
  expect(kept.map((line) => `${line}\n`)).toEqual(kept.map((_, n) => lineOf(n)));
  expect(kept.length).toBeGreaterThan(500);
  expect(told).toEqual([2000 - kept.length]);
  expect(lines.slice(kept.length)).toEqual([`${told[0]} dropped`, "and on", ""]);
  expect(clock.idle).toBe(true);
});

test("a line that is longer than all that may wait still comes", async () => {
  using full = fullPipe();
  const clock = new TurnedClock();
  using writer = new LineWriter(full.write, clock, () => {});
  const long = `${"y".repeat(300_000)}\n`;
  writer.write(long);
  let read = "";
  for (let i = 0; i < 100 && !read.endsWith("y\n"); i++) {
    read += drain(full.read).replaceAll(".", "");
    await clock.turn(100);
  }
  expect(read).toBe(long);
});

test("the descriptor itself stays a waiting one: the command shares it", () => {
  using full = fullPipe();
  using writer = new LineWriter(full.write, new TurnedClock(), () => {});
  writer.write("line\n");
  expect(setBlocking(full.write, "blocking")).toBe("blocking");
});

test("the end waits for a reader, and not for long", () => {
  using full = fullPipe();
  const from = performance.now();
  const writer = new LineWriter(full.write, new TurnedClock(), () => {});
  writer.write("last words\n");
  writer[Symbol.dispose]();
  expect(performance.now() - from).toBeGreaterThan(300);
  expect(performance.now() - from).toBeLessThan(5000);
});

describe("what never hangs", () => {
  test("a file: appended to, and its offset is shared with the command", () => {
    using dir = tempDir();
    const fd = openSync(`${dir.path}/log`, "w");
    using writer = new LineWriter(fd, new TurnedClock(), () => {});
    writer.write("ours 1\n");
    write(fd, Buffer.from("theirs\n"));
    writer.write("ours 2\n");
    expect(readFileSync(`${dir.path}/log`, "utf8")).toBe("ours 1\ntheirs\nours 2\n");
    closeSync(fd);
  });

  test.each([
    ["a full disk", "/dev/full"],
    ["nothing", "/dev/null"],
  ])("%s: the line is lost, and that is all", (_, path) => {
    const fd = openSync(path, "w");
    const clock = new TurnedClock();
    using writer = new LineWriter(fd, clock, () => {});
    writer.write("line\n");
    expect(clock.idle).toBe(true);
    closeSync(fd);
  });

  test("a closed descriptor", () => {
    const fd = openSync("/dev/null", "w");
    closeSync(fd);
    expect(() => fstatSync(fd)).toThrow("EBADF");
    const clock = new TurnedClock();
    using writer = new LineWriter(fd, clock, () => {});
    writer.write("line\n");
    expect(clock.idle).toBe(true);
  });
});
