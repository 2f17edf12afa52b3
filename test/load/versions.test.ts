import { expect, test } from "bun:test";
import { VersionLog } from "../../src/load/versions.ts";

/** `note` for texts: the field's bytes lie inside a larger buffer, as they do in a response. */
function noter(log: VersionLog) {
  return (version: string, sentMs: number, nowMs: number) => {
    const bytes = Buffer.from(`X-Version: ${version}\r\n`);
    return log.note(bytes, 11, 11 + version.length, sentMs, nowMs);
  };
}

test("counts, first and last answer of each version", () => {
  const log = new VersionLog();
  const note = noter(log);
  note("1", 0, 1);
  note("1", 1, 2);
  note("2", 2, 3);
  expect(log.seen).toEqual([
    { version: "1", count: 2, firstMs: 1, lastMs: 2, regressions: 0 },
    { version: "2", count: 1, firstMs: 3, lastMs: 3, regressions: 0 },
  ]);
});

test("an old answer is a regression only if its request was sent after the new version had answered", () => {
  const log = new VersionLog();
  const note = noter(log);
  note("1", 0, 1);
  note("2", 2, 10);
  expect(note("1", 9, 20)).toBeUndefined();
  expect(note("1", 10, 20)).toBeUndefined();
  expect(note("1", 11, 20)).toBe("2");
  expect(note("2", 12, 21)).toBeUndefined();
  expect(log.regressions).toBe(1);
  expect(log.seen[0]).toMatchObject({ version: "1", count: 4, lastMs: 20, regressions: 1 });
});

test("an old server that is busy answers late, and is not newer for that", () => {
  const log = new VersionLog();
  const note = noter(log);
  note("2", 5, 10);
  expect(note("1", 4, 20)).toBeUndefined();
  expect(note("1", 19, 21)).toBeUndefined();
  expect(note("2", 21, 22)).toBeUndefined();
  expect(note("1", 21, 23)).toBe("2");
  expect(log.seen.map((v) => [v.version, v.regressions])).toEqual([
    ["1", 1],
    ["2", 0],
  ]);
});

test("of two that answer what was sent at once, the one that goes on is newer", () => {
  const log = new VersionLog();
  const note = noter(log);
  note("1", 0, 1);
  note("2", 0, 1);
  expect(note("2", 2, 3)).toBeUndefined();
  expect(note("1", 4, 5)).toBe("2");
});

test("versions that share a beginning are not taken for each other", () => {
  const log = new VersionLog();
  const note = noter(log);
  for (const [i, version] of ["1", "10", "1", "11", ""].entries()) note(version, i + 0.5, i);
  expect(log.seen.map((v) => [v.version, v.count])).toEqual([
    ["1", 2],
    ["10", 1],
    ["11", 1],
    ["", 1],
  ]);
});

test("memory is bounded, whatever the field says", () => {
  const log = new VersionLog();
  const note = noter(log);
  for (let i = 0; i < 10_000; i++) note(`${i}-${"x".repeat(1000)}`, i, i);
  expect(log.seen.length).toBe(4096);
  expect(log.seen.reduce((sum, v) => sum + v.count, 0)).toBe(10_000);
  expect(log.seen[0]?.version.length).toBe(256);
});
