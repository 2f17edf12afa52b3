/** Source ports for smoke tests: which they are, and that a client with one of them gets the newest generation, on the real kernel. */
import { describe, expect, test } from "bun:test";
import { isIPv6 } from "node:net";
import { HeldTcp } from "../../src/sockets/held-tcp.ts";
import { probePortsFor } from "../../src/sockets/probe-ports.ts";
import { PROBE_PORTS } from "../../src/sockets/selectors.ts";
import { format, type InetAddress } from "../../src/sockets/sockaddr.ts";
import { answering, versionAt } from "./answering.ts";

describe("they lie outside of what the kernel hands out by itself", () => {
  test.each([
    ["the usual range", [32_768, 60_999]],
    ["a wide one", [1024, 65_000]],
    ["one that leaves room below alone", [20_000, 65_535]],
  ] as const)("%s", (_, [low, high]) => {
    for (const name of ["a", "b", "shop", "shop-2"]) {
      const from = probePortsFor(name, [], [low, high]) ?? 0;
      expect(from % PROBE_PORTS).toBe(0);
      expect(from + PROBE_PORTS - 1 < low || from > high).toBe(true);
      expect(probePortsFor(name, [], [low, high])).toBe(from);
      // The service's own port is a listener's.
      const other = probePortsFor(name, [from + 3], [low, high]);
      expect(other).not.toBe(from);
    }
  });
  test("none where there is no room", () => {
    expect(probePortsFor("a", [], [1024, 65_535])).toBeUndefined();
  });
});

/** Each row has ports of its own: they are free again after a minute, and a dual-stack socket has its port in both families. */
const used: number[] = [];
function portsOfItsOwn(): number {
  const from = probePortsFor("the tests of hupwatch", used) as number;
  used.push(from);
  return from;
}

/** `curl --local-port`, one after the other, each by a port of its own. */
async function versionsFrom(host: string, port: number, times: number, from: number) {
  const source = `${from}-${from + PROBE_PORTS - 1}`;
  const url = `http://${isIPv6(host) ? `[${host}]` : host}:${port}/`;
  const script = `for i in $(seq ${times}); do curl -gsS -m 20 --local-port ${source} -o /dev/null -D - '${url}'; done`;
  const curl = Bun.spawn(["sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  const versions = [...(await curl.stdout.text()).matchAll(/^X-Version: (\w+)/gm)].map(
    ([, version]) => version,
  );
  expect(versions).toHaveLength(times);
  return versions;
}

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["0.0.0.0", "127.0.0.1"],
  ["::1", "::1"],
  ["::", "127.0.0.1"],
  ["::", "::1"],
])(
  "on %s by %s: fifty times in a row the newest, and all others the one that serves",
  async (host, to) => {
    const address: InetAddress = { family: isIPv6(host) ? "inet6" : "inet", host, port: 0 };
    const spec = { name: "x", text: format(address), address: { kind: "tcp", host, port: 0 } } as const;
    const from = portsOfItsOwn();
    using held = new HeldTcp(spec, address, { backlog: 128, probePorts: from });
    const old = held.listenFor(1);
    using _old = answering(old.fd, "1");
    held.steerTo(old);
    expect(new Set(await versionsFrom(to, held.address.port, 2, from))).toEqual(new Set(["1"]));

    const next = held.listenFor(2);
    using _next = answering(next.fd, "2");
    expect(new Set(await versionsFrom(to, held.address.port, 50, from))).toEqual(new Set(["2"]));
    for (let i = 0; i < 20; i++) expect(await versionAt({ hostname: to, port: held.address.port })).toBe("1");
    // Also while a readiness check has its own way.
    using probe = next.connect();
    expect(new Set(await versionsFrom(to, held.address.port, 2, from))).toEqual(new Set(["2"]));
    expect(await versionAt({ hostname: to, port: held.address.port })).toBe("1");
    probe[Symbol.dispose]();

    // It has failed: its ports lead to the one that serves.
    next[Symbol.dispose]();
    expect(await versionsFrom(to, held.address.port, 2, from)).toEqual(["1", "1"]);
  },
  60_000,
);
