import { describe, expect, test } from "bun:test";
import { makePlan } from "../../src/load/plan.ts";
import { parseTarget } from "../../src/load/target.ts";
import { thrownBy } from "../harness/thrown.ts";

describe("TARGET", () => {
  const GOOD: [text: string, address: object, url: string, host: string][] = [
    ["unix:/tmp/a.sock", { kind: "unix", path: "/tmp/a.sock" }, "/", "localhost"],
    ["unix:/tmp/a.sock:/x?y=1", { kind: "unix", path: "/tmp/a.sock" }, "/x?y=1", "localhost"],
    ["unix:/tmp/a:b.sock", { kind: "unix", path: "/tmp/a:b.sock" }, "/", "localhost"],
    ["unix:a.sock", { kind: "unix", path: "/work/dir/a.sock" }, "/", "localhost"],
    ["unix:@name:/x", { kind: "unix", path: "\0name" }, "/x", "localhost"],
    ["http://127.0.0.1:8000", { kind: "tcp", hostname: "127.0.0.1", port: 8000 }, "/", "127.0.0.1:8000"],
    ["http://localhost/a?b", { kind: "tcp", hostname: "localhost", port: 80 }, "/a?b", "localhost"],
    // As --bind takes them.
    ["127.0.0.1:8000", { kind: "tcp", hostname: "127.0.0.1", port: 8000 }, "/", "127.0.0.1:8000"],
    ["localhost:81/a?b", { kind: "tcp", hostname: "localhost", port: 81 }, "/a?b", "localhost:81"],
    [":8000", { kind: "tcp", hostname: "127.0.0.1", port: 8000 }, "/", "127.0.0.1:8000"],
    ["*:8000", { kind: "tcp", hostname: "127.0.0.1", port: 8000 }, "/", "127.0.0.1:8000"],
    ["[::]:8000", { kind: "tcp", hostname: "::1", port: 8000 }, "/", "[::1]:8000"],
    ["tcp://[::1]:8000", { kind: "tcp", hostname: "::1", port: 8000 }, "/", "[::1]:8000"],
    ["http://[::1]:81/", { kind: "tcp", hostname: "::1", port: 81 }, "/", "[::1]:81"],
  ];
  for (const [text, address, url, host] of GOOD)
    test(text, () => expect(parseTarget(text, "/work/dir")).toEqual({ address, url, host, text } as never));

  const BAD: [text: string, why: RegExp][] = [
    ["", /neither/],
    ["/tmp/a.sock", /needs unix:/],
    ["https://localhost/", /TLS/],
    ["http://", /not a URL/],
    ["http://u:p@localhost/", /user name/],
    ["127.0.0.1", /neither/],
    ["127.0.0.1:0", /port 0/],
    ["127.0.0.1:99999", /not a URL/],
    ["unix:", /names no socket/],
    ["unix:@", /names no socket/],
    [`unix:/${"x".repeat(107)}`, /108 bytes, and a Unix socket's has 107/],
    ["unix:/a:/b c", /blanks/],
    ["unix:/a:/b\r\nX: y", /control/],
  ];
  for (const [text, why] of BAD)
    test(`refused: ${JSON.stringify(text).slice(0, 40)}`, () => {
      const error = thrownBy(() => parseTarget(text, "/"));
      expect(error.message).toMatch(why);
      expect(error).toMatchObject({ exitCode: 2, hint: expect.stringContaining("unix:/path") });
    });
});

describe("plan", () => {
  const target = parseTarget("unix:/a", "/");

  test("defaults: ten seconds of keep-alive, closed loop; a count lifts the duration", () => {
    expect(makePlan(target)).toMatchObject({ mode: "keepalive", durationMs: 10_000, rate: undefined });
    expect(makePlan(target, { requests: 5 }).durationMs).toBeUndefined();
    expect(makePlan(target, { requests: 5, durationMs: 100 })).toMatchObject({
      requests: 5,
      durationMs: 100,
    });
  });

  test("a value out of its bounds is named", () => {
    for (const given of [{ connections: 0 }, { rate: Number.NaN }, { timeoutMs: 0 }, { missedMax: 2 }]) {
      const error = thrownBy(() => makePlan(target, given));
      expect(error.message).toStartWith(`${Object.keys(given)[0]} is ${Object.values(given)[0]}`);
      expect(error.exitCode).toBe(2);
    }
  });
});
