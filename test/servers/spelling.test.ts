/** One option has many spellings; each server's parser takes all of its own. */
import { describe, expect, test } from "bun:test";
import { traitsOf } from "../../src/servers/adapters.ts";
import { spelledOut } from "../../src/servers/reading/spelling.ts";
import { GUNICORNS } from "../setup/places.ts";

const SPELLING = { longs: ["--bind", "--pid", "--port"], flags: "Dh", dropsEquals: "b" };

test.each([
  ["--bin :1", "--bind :1"],
  ["--bin=:1", "--bind=:1"],
  ["--p 1", "--p 1"], // --pid or --port: the server refuses it
  ["--pid f", "--pid f"],
  ["--binder x", "--binder x"],
  ["-b=:1", "-b:1"],
  ["-w=2", "-w=2"],
  ["-Dw2", "-D -w2"],
  ["-Dhb=:1", "-D -h -b:1"],
  ["-D", "-D"],
  ["app -- --bin :1", "app -- --bin :1"],
])("%s is %s", (words, meant) => {
  expect(spelledOut(words.split(" "), SPELLING)).toEqual(meant.split(" "));
});

// https://github.com/topoteretes/cognee/pull/870: "serves on 127.0.0.1:8000, x.sock is never made".
describe("the address is found", () => {
  const bindsOf = (words: string, env: Record<string, string> = {}) =>
    traitsOf({ words: words.split(" "), env: { PATH: process.env.PATH ?? "", ...env }, directory: "/" })
      .binds;

  test.each<[words: string, binds: string[]]>([
    [`${GUNICORNS.debian} app --bin unix:/x.sock`, ["unix:/x.sock"]],
    [`${GUNICORNS.debian} app -b=127.0.0.1:1`, ["127.0.0.1:1"]],
    [`${GUNICORNS.debian} -Rb 127.0.0.1:1 app`, ["127.0.0.1:1"]],
    ["hypercorn app --bin 127.0.0.1:2", ["127.0.0.1:2"]],
    ["daphne --por 3 app", ["127.0.0.1:3"]],
    ["cheroot app --bin 127.0.0.1:4", ["127.0.0.1:4"]],
    ["puma --por 5", ["0.0.0.0:5"]],
    ["unicorn --lis 127.0.0.1:6", ["127.0.0.1:6"]],
    ["uwsgi --http-sock 127.0.0.1:7", ["127.0.0.1:7"]],
  ])("%s", (words, binds) => {
    expect(bindsOf(words)).toEqual(binds);
  });

  test("and in GUNICORN_CMD_ARGS", () => {
    expect(bindsOf(`${GUNICORNS.debian} app`, { GUNICORN_CMD_ARGS: "--bin=127.0.0.1:8" })).toEqual([
      "127.0.0.1:8",
    ]);
  });

  test("a daemon is warned of, however it is spelled", () => {
    for (const words of ["-Dw2", "--daem", "-RD"]) {
      const { notes } = traitsOf({
        words: [GUNICORNS.debian, "app", words],
        env: { PATH: process.env.PATH ?? "" },
        directory: "/",
      });
      expect(notes.join()).toContain("--daemon makes gunicorn leave hupwatch");
    }
  });
});
