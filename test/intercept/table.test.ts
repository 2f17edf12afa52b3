/** Which held address a bind means. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { type Given, givenForPath, givenForPort } from "../../src/intercept/table.ts";
import type { InetAddress, SocketAddress } from "../../src/sockets/sockaddr.ts";
import { tempDir } from "../harness/temp-dir.ts";

const given = (address: SocketAddress, more: Partial<Given> = {}): Given => ({
  ...{ address, alsoAt: [], fd: 0, inode: 0, ipv6Only: false },
  ...{ isBound: false, isListening: false, isLearned: false, ...more },
});
const inet = (host: string, port = 80): InetAddress => ({
  family: host.includes(":") ? "inet6" : "inet",
  host,
  port,
});

describe("a port", () => {
  test.each([
    // [asked, leaves IPv4 alone, held, leaves IPv4 alone, is the same]
    ["127.0.0.1", false, "127.0.0.1", false, true],
    ["127.0.0.1", false, "127.0.0.2", false, false],
    ["0.0.0.0", false, "127.0.0.1", false, true],
    ["127.0.0.1", false, "0.0.0.0", false, true],
    ["::", false, "0.0.0.0", false, true],
    ["::", true, "0.0.0.0", false, false],
    ["::", false, "127.0.0.1", false, true],
    ["0.0.0.0", false, "::", false, true],
    ["0.0.0.0", false, "::", true, false],
    ["::1", false, "127.0.0.1", false, false],
    ["::1", false, "0.0.0.0", false, false],
    ["::1", true, "::", true, true],
  ] as const)("%s (only %p), held %s (only %p): %p", (asked, only, held, heldOnly, is) => {
    const one = given(inet(held), { ipv6Only: heldOnly });
    expect(givenForPort({ address: inet(asked), ipv6Only: only }, [one])).toBe(is ? one : undefined);
    expect(givenForPort({ address: inet(asked, 81), ipv6Only: only }, [one])).toBeUndefined();
  });

  test("the exact one comes first", () => {
    const [wide, exact] = [given(inet("0.0.0.0")), given(inet("127.0.0.1"))];
    expect(givenForPort({ address: inet("127.0.0.1"), ipv6Only: false }, [wide, exact])).toBe(exact);
  });
});

test("a path is where it leads to and not how it is written; its last component is not followed", () => {
  using dir = tempDir();
  mkdirSync(`${dir.path}/real`);
  symlinkSync("real", `${dir.path}/link`);
  symlinkSync("app.sock", `${dir.path}/real/other.sock`);
  const held = given({ family: "unix", path: `${dir.path}/real/app.sock` });
  const found = (path: string) => givenForPath(path, path, [held]);
  for (const way of ["real/app.sock", "link/app.sock", "link/../real/./app.sock"])
    expect(found(`${dir.path}/${way}`)).toBe(held);
  for (const other of ["app.sock", "real/other.sock", "nowhere/app.sock"])
    expect(found(`${dir.path}/${other}`)).toBeUndefined();
});
