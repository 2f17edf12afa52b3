/** What `--bind` takes and what it refuses. */
import { describe, expect, test } from "bun:test";
import { HupwatchError } from "../../src/error.ts";
import { parseSpec, parseSpecs, type SpecAddress } from "../../src/sockets/spec.ts";
import { thrownBy } from "../harness/thrown.ts";

const tcp = (host: string, port: number): SpecAddress => ({ kind: "tcp", host, port });
const unix = (path: string): SpecAddress => ({ kind: "unix", path });

const FORMS: [text: string, name: string, address: SpecAddress][] = [
  ["unix:/run/app.sock", "app.sock", unix("/run/app.sock")],
  ["unix:app.sock", "app.sock", unix("/srv/site/app.sock")],
  ["unix:../app.sock", "app.sock", unix("/srv/app.sock")],
  ["unix:///run/app.sock", "app.sock", unix("/run/app.sock")],
  ["unix:/run/a b:c.sock", "a_b_c.sock", unix("/run/a b:c.sock")],
  ["unix:@app", "app", { kind: "abstract", name: "app" }],
  ["127.0.0.1:8000", "port-8000", tcp("127.0.0.1", 8000)],
  [":8000", "port-8000", tcp("", 8000)],
  ["*:8000", "port-8000", tcp("*", 8000)],
  ["localhost:0", "port-0", tcp("localhost", 0)],
  ["tcp://localhost:80", "port-80", tcp("localhost", 80)],
  ["[::1]:8000", "port-8000", tcp("::1", 8000)],
  ["[::]:65535", "port-65535", tcp("::", 65535)],
  ["[fe80::1%eth0]:80", "port-80", tcp("fe80::1%eth0", 80)],
  ["[::ffff:127.0.0.1]:80", "port-80", tcp("::ffff:127.0.0.1", 80)],
  ["fd://3", "fd-3", { kind: "fd", fd: 3 }],
  ["web=:8000", "web", tcp("", 8000)],
  ["admin.api=unix:/run/a.sock", "admin.api", unix("/run/a.sock")],
];

test.each(FORMS)("%s", (text, name, address) => {
  expect(parseSpec(text, "/srv/site")).toEqual({ name, address, text });
});

/** The longest path that the kernel takes: 107 bytes. */
const LONGEST = `/${"x".repeat(106)}`;

test("a path of 107 bytes is taken, and counted in bytes", () => {
  expect(parseSpec(`unix:${LONGEST}`, "/").address).toEqual(unix(LONGEST));
  expect(() => parseSpec(`unix:${LONGEST.replace("xx", "xé")}`, "/")).toThrow(HupwatchError);
});

const REFUSED: [text: string, hint: string][] = [
  ["", "use unix:/path"],
  ["nonsense", "use unix:/path"],
  ["8000", "use unix:/path"],
  ["127.0.0.1", "use unix:/path"],
  ["127.0.0.1:http", "use unix:/path"],
  ["127.0.0.1:-1", "use unix:/path"],
  ["::1:8000", "use unix:/path"],
  ["/run/app.sock", "use unix:/path"],
  ["http://127.0.0.1:80", "use unix:/path"],
  ["fd://x", "use unix:/path"],
  ["127.0.0.1:65536", "from 0 to 65535"],
  ["[127.0.0.1]:80", "not an IPv6 address"],
  ["[::g]:80", "not an IPv6 address"],
  ["[]:80", "not an IPv6 address"],
  ["unix:", "the path of a file"],
  ["unix:/run/", "the path of a file"],
  ["unix:@", "a name"],
  [`unix:${LONGEST}x`, "108 bytes, and the kernel allows 107"],
  [`unix:@${LONGEST}x`, "108 bytes, and the kernel allows 107"],
];

test.each(REFUSED)("refuses '%s'", (text, hint) => {
  const error = thrownBy(() => parseSpec(text, "/srv"));
  expect(error.message).toContain(`'${text}'`);
  expect(error.hint).toContain(hint);
  expect(error.exitCode).toBe(125);
});

describe("duplicates", () => {
  const parse = (...texts: string[]) => parseSpecs(texts, "/srv");

  test.each([
    [["web=:80", "web=:81"], "name web"],
    [[":80", "a=:80"], "address"],
    [[":80", "0.0.0.0:80"], "address"],
    [["unix:x.sock", "unix:/srv/x.sock"], "address"],
    [["fd://3", "other=fd://3"], "address"],
    [["a=unix:x.sock", "b=unix:/srv/x.sock"], "address"],
  ])("%j are refused", (texts, what) => {
    const error = thrownBy(() => parse(...texts));
    for (const text of texts) expect(error.message).toContain(`'${text}'`);
    expect(error.message).toContain(what);
    expect(error.hint).toContain("NAME=");
  });

  test.each([
    [["127.0.0.1:80", "web=127.0.0.2:80"]],
    [["a=unix:/a/x.sock", "b=unix:/b/x.sock"]],
    [["a=:0", "b=:0"]],
  ])("%j are two", (texts) => {
    expect(() => parse(...texts)).not.toThrow();
  });

  test.each<[texts: string[], names: string[]]>([
    [
      ["[::1]:80", "127.0.0.1:80", "127.0.0.2:80"],
      ["port-80", "port-80-2", "port-80-3"],
    ],
    [
      ["unix:/a/x.sock", "unix:/b/x.sock"],
      ["x.sock", "x.sock-2"],
    ],
    [
      [":0", ":0"],
      ["port-0", "port-0-2"],
    ],
    // A name that was asked for is given, wherever it stands.
    [
      ["[::1]:80", "127.0.0.1:80", "port-80=:81", "port-80-3=:82"],
      ["port-80-2", "port-80-4", "port-80", "port-80-3"],
    ],
  ])("%j are told apart though nobody named them: %j", (texts, names) => {
    expect(parse(...texts).map((spec) => spec.name)).toEqual(names);
  });

  test("two of one name stay one name, also where each takes a free port", () => {
    expect(() => parse("web=:0", "web=127.0.0.1:0")).toThrow("name web");
  });
});
