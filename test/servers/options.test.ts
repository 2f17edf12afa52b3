/** Single options out of a server's own words. */
import { expect, test } from "bun:test";
import { hasFlag, lastValueOf, valuesOf } from "../../src/servers/reading/options.ts";

const ROWS: [words: string, values: string[]][] = [
  ["-b :1", [":1"]],
  ["-b:1", [":1"]],
  ["--bind :1", [":1"]],
  ["--bind=:1", [":1"]],
  ["--bind=", [""]],
  ["-b :1 --bind :2 -b:3 --bind=:4", [":1", ":2", ":3", ":4"]],
  ["--bind", []],
  ["--binder :1", []],
  ["app -- --bind :1", []],
  ["-b --bind", ["--bind"]],
];

test.each(ROWS)("%s", (words, values) => {
  expect(valuesOf(words.split(" "), "--bind", "-b")).toEqual(values);
  expect(lastValueOf(words.split(" "), "--bind", "-b")).toBe(values.at(-1));
});

test("flags", () => {
  expect(hasFlag(["-D"], "--daemon", "-D")).toBe(true);
  expect(hasFlag(["--daemon"], "--daemon", "-D")).toBe(true);
  expect(hasFlag(["--daemonize", "-d"], "--daemon", "-D")).toBe(false);
});
