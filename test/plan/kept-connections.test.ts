import { describe, expect, test } from "bun:test";
import { type KeptConnections, keptInWords, patienceOf, waysKept } from "../../src/plan/kept-connections.ts";
import { parseCheck } from "../../src/ready/parse.ts";
import { parseSpecs } from "../../src/sockets/spec.ts";

const TCP = { path: undefined };
const UNIX = { path: "/app.sock" };

describe("whose connections live on", () => {
  test.each([
    ["auto", [TCP], [TCP]],
    ["auto", [UNIX], []],
    // Only the first one was asked.
    ["auto", [TCP, TCP], [TCP]],
    ["auto", [UNIX, TCP], []],
    ["adopt", [UNIX, TCP], [UNIX, TCP]],
    ["adopt=any", [TCP], [TCP]],
    ["close", [TCP], []],
  ] as const)("%s, %j", (mode, ways, kept) => {
    expect(waysKept(mode, ways, () => false)).toEqual(kept);
  });

  test("with the PROXY protocol only where that is asked for", () => {
    const kept = (mode: KeptConnections) => waysKept(mode, [TCP], () => true);
    expect(kept("auto")).toEqual([]);
    expect(kept("adopt")).toEqual([TCP]);
  });

  test("auto leaves no client deaf for long", () => {
    expect(patienceOf("auto")).toBeLessThanOrEqual(2000);
  });
});

describe("explain says which, and why", () => {
  const words = (
    mode: KeptConnections,
    binds: string[],
    check: string,
    isRefused = false,
    firstLine?: string,
  ) =>
    keptInWords(
      { keptConnections: mode, sockets: parseSpecs(binds, "/"), checks: [parseCheck(check)] },
      { isRefused: () => isRefused, firstLine: () => firstLine },
    );
  test.each([
    ["auto", [":80"], "http", "live on, if it answers in HTTP/1 without TLS"],
    ["auto", ["a=:80", "b=:81"], "http:/health", "clients on this machine keep to a=:80 live on"],
    ["auto", [":80"], "connect", "live on, if a client was seen to speak HTTP/1 without TLS"],
    ["auto", ["unix:/app.sock"], "http", "closed when the server closes them: a Unix socket does not show"],
    ["adopt", ["unix:/app.sock"], "connect", "those of others are closed"],
    ["adopt=any", [":80"], "http", "another peer"],
    ["close", [":80"], "http", "closed when the server closes them: --kept-connections close"],
  ] as const)("%s, %j, %s", (mode, binds, check, text) => {
    expect(words(mode, [...binds], check)).toContain(text);
  });

  test("auto, where something speaks of the PROXY protocol", () => {
    expect(words("auto", [":80"], "http", false, "--proxy-protocol")).toContain(
      "closed when the server closes them: the PROXY protocol's line would not be repeated, of which '--proxy-protocol' speaks",
    );
    expect(words("adopt", [":80"], "http", false, "--proxy-protocol")).toContain("live on");
  });

  test.each(["auto", "adopt"] as const)("%s, where the kernel hands out no duplicates", (mode) => {
    expect(words(mode, [":80"], "http", true)).toContain(
      "pidfd_getfd(2) is refused here; set nginx's keepalive_time and keepalive_timeout",
    );
  });
});
