/** struct sockaddr as bytes: what the kernel gets and what it tells, and texts as people write them. */
import { describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { bind, close, getsockname, socket } from "../../src/os/libc.ts";
import { decode, encode, format, hostBytes, type SocketAddress } from "../../src/sockets/sockaddr.ts";

const inet = (host: string, port: number): SocketAddress => ({ family: "inet", host, port });
const inet6 = (host: string, port: number): SocketAddress => ({ family: "inet6", host, port });

const ROUND_TRIPS: [SocketAddress, string][] = [
  [inet("0.0.0.0", 0), "0.0.0.0:0"],
  [inet("127.0.0.1", 8000), "127.0.0.1:8000"],
  [inet("255.254.253.252", 65535), "255.254.253.252:65535"],
  [inet6("::", 80), "[::]:80"],
  [inet6("::1", 8000), "[::1]:8000"],
  [inet6("1::", 1), "[1::]:1"],
  [inet6("2001:db8::8:800:200c:417a", 443), "[2001:db8::8:800:200c:417a]:443"],
  [inet6("2001:db8:0:1:1:1:1:1", 443), "[2001:db8:0:1:1:1:1:1]:443"],
  [inet6("1:0:0:2::3", 1), "[1:0:0:2::3]:1"],
  [inet6("a:b:c:d:e:f:1:2", 1), "[a:b:c:d:e:f:1:2]:1"],
  [inet6("fe80::1%2", 1), "[fe80::1%2]:1"],
  // Shown as [::ffff:7f00:1]:8000, which nobody had written.
  [inet6("::ffff:127.0.0.1", 8000), "[::ffff:127.0.0.1]:8000"],
  [{ family: "unix", path: "/run/app.sock" }, "unix:/run/app.sock"],
  [{ family: "unix", path: "/run/ä b.sock" }, "unix:/run/ä b.sock"],
  [{ family: "abstract", name: "app" }, "unix:@app"],
];

test.each(ROUND_TRIPS)("%j there and back", (address, text) => {
  expect(decode(encode(address))).toEqual(address);
  expect(format(address)).toBe(text);
});

test.each([
  ["::ffff:7f00:1", "::ffff:127.0.0.1"],
  ["::ffff:0:0", "::ffff:0.0.0.0"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["0:0:0:0:0:0:0:0", "::"],
  ["2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"],
])("%s is %s", (written, shortest) => {
  expect(decode(encode(inet6(written, 80)))).toEqual(inet6(shortest, 80));
});

describe("bytes as the kernel has them", () => {
  test("IPv4: family in the host's order, port and address in the network's", () => {
    expect([...encode(inet("127.0.0.1", 0x1234)).subarray(0, 8)]).toEqual([2, 0, 0x12, 0x34, 127, 0, 0, 1]);
  });
  test("IPv6 has 28 bytes with its scope last", () => {
    const bytes = encode(inet6("fe80::1%3", 80));
    expect(bytes).toHaveLength(28);
    expect(bytes[24]).toBe(3);
  });
  test("a path ends with NUL, an abstract name starts with one and has no end but its length", () => {
    expect([...encode({ family: "unix", path: "/x" })]).toEqual([1, 0, 0x2f, 0x78, 0]);
    expect([...encode({ family: "abstract", name: "x" })]).toEqual([1, 0, 0, 0x78]);
  });
  test("the bytes of the host alone", () => {
    expect([...hostBytes({ family: "inet", host: "10.0.0.7", port: 1 })]).toEqual([10, 0, 0, 7]);
    expect(hostBytes({ family: "inet6", host: "::1", port: 1 })).toHaveLength(16);
  });
});

test("what is no address is refused, and so is another family", () => {
  expect(() => encode(inet6("::g", 1))).toThrow("not an IPv6 address");
  expect(() => decode(Uint8Array.of(16, 0, 0, 0))).toThrow("neither Unix, IPv4 nor IPv6");
});

/** The kernel's own words for what was bound. */
test.each<[SocketAddress]>([
  [inet("127.0.0.1", 0)],
  [inet6("::1", 0)],
  [{ family: "abstract", name: "hw-test" }],
])("the kernel reads %j as we do", (address) => {
  const fd = socket(address.family === "abstract" ? "unix" : (address.family as "inet"));
  try {
    bind(fd, encode(address));
    const bound = decode(getsockname(fd));
    expect({ ...bound, port: 0 }).toEqual({ ...address, port: 0 } as never);
  } finally {
    close(fd);
  }
});

const linkLocal = Object.values(networkInterfaces())
  .flatMap((found) => found ?? [])
  .flatMap((a) => (a.family === "IPv6" && a.address.startsWith("fe80") ? [a] : []))[0];

test.skipIf(!linkLocal)("the kernel's word for a link-local address has its zone", () => {
  const { address, scopeid } = linkLocal as NonNullable<typeof linkLocal>;
  const fd = socket("inet6");
  try {
    bind(fd, encode(inet6(`${address}%${scopeid}`, 0)));
    expect(decode(getsockname(fd))).toMatchObject({ host: `${address}%${scopeid}` });
  } finally {
    close(fd);
  }
});
