import { describe, expect, test } from "bun:test";
import { type ReaderState, ResponseReader } from "../../src/http/response.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

interface Reading {
  state: ReaderState;
  status: number;
  body: string;
  surplus: number;
  reader: ResponseReader;
}

/** Reads a text that comes in the given pieces; `close` ends the connection behind it. */
function read(pieces: string[], request: { head?: boolean; close?: boolean } = {}): Reading {
  const reader = new ResponseReader();
  reader.reset({ head: request.head === true, keepBodyBytes: 1024 });
  for (const piece of pieces) reader.push(bytes(piece));
  if (request.close) reader.end();
  const { state, status, surplusBytes } = reader;
  return { state, status, body: reader.bodyText(), surplus: surplusBytes, reader };
}

/** Every way to cut a text in two, and byte by byte: the outcome must not depend on it. */
function* cuttings(text: string): Generator<string[]> {
  for (let at = 1; at < text.length; at++) yield [text.slice(0, at), text.slice(at)];
  yield [...text];
}

const LENGTH = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Version:  v7 \r\n\r\nhello";
const CHUNKED =
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nhel\r\n002\r\nlo\r\n0\r\nX-Sum: 1\r\nY: \r\n\r\n";
const CLOSE = "HTTP/1.0 200 OK\r\n\r\nhello";

describe("a complete response", () => {
  for (const [name, text] of Object.entries({ LENGTH, CHUNKED }))
    test(`${name}: the same in one piece and in any others`, () => {
      expect(read([text])).toMatchObject({ state: "done", status: 200, body: "hello", surplus: 0 });
      for (const pieces of cuttings(text)) {
        expect(read(pieces)).toMatchObject({ state: "done", status: 200, body: "hello", surplus: 0 });
        expect(read(pieces).reader.receivedBytes).toBe(text.length);
      }
    });

  test("delimited by the close", () => {
    expect(read([CLOSE])).toMatchObject({ state: "body", body: "hello" });
    for (const pieces of cuttings(CLOSE))
      expect(read(pieces, { close: true })).toMatchObject({ state: "done", body: "hello" });
    expect(read([CLOSE]).reader.head.keepAlive).toBe(false);
  });

  test("no body: HEAD, 204, 304, Content-Length 0", () => {
    expect(read(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"], { head: true }).state).toBe("done");
    expect(read(["HTTP/1.1 204 No Content\r\n\r\n"]).state).toBe("done");
    expect(read(["HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"]).state).toBe("done");
    expect(read(["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).state).toBe("done");
  });

  test("1xx answers come before the real one, in any pieces", () => {
    const text = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${LENGTH}`;
    expect(read([text])).toMatchObject({ state: "done", status: 200, body: "hello" });
    for (const pieces of cuttings(text))
      expect(read(pieces)).toMatchObject({ state: "done", status: 200, body: "hello", surplus: 0 });
    expect(read(["HTTP/1.1 100 Continue\r\n\r\n"]).state).toBe("head");
  });

  test("fields: found without regard to case, trimmed, first one first", () => {
    const { reader } = read([LENGTH]);
    expect(reader.head.header("x-version")).toBe("v7");
    expect(reader.head.header("x-versio")).toBeUndefined();
    const seen: string[] = [];
    reader.head.withHeader("x-version", (b, from, to) =>
      seen.push(Buffer.from(b.slice(from, to)).toString()),
    );
    expect(seen).toEqual(["v7"]);
  });

  test("keep-alive by version and Connection", () => {
    const keepAlive = (line: string, fields = "") =>
      read([`${line}\r\nContent-Length: 0\r\n${fields}\r\n`]).reader.head.keepAlive;
    expect(keepAlive("HTTP/1.1 200 OK")).toBe(true);
    expect(keepAlive("HTTP/1.1 200 OK", "Connection: Close\r\n")).toBe(false);
    expect(keepAlive("HTTP/1.1 200 OK", "Connection: foo, close\r\n")).toBe(false);
    expect(keepAlive("HTTP/1.0 200 OK")).toBe(false);
    expect(keepAlive("HTTP/1.0 200 OK", "Connection: keep-alive\r\n")).toBe(true);
  });

  test("a reader is used again after reset", () => {
    const { reader } = read([LENGTH]);
    reader.reset({ keepBodyBytes: 2 });
    expect(reader.state).toBe("idle");
    expect(reader.push(bytes(CHUNKED))).toBe("done");
    expect(reader.bodyText()).toBe("he");
    expect(reader.bodyBytes).toBe(5);
    reader.reset();
    reader.push(bytes(LENGTH));
    expect(reader.bodyText()).toBe("");
  });

  test("bytes behind the end are counted, not taken for the next answer", () => {
    expect(read([LENGTH + LENGTH])).toMatchObject({ state: "done", surplus: LENGTH.length, body: "hello" });
    expect(read([LENGTH, "x"])).toMatchObject({ state: "done", surplus: 1 });
    expect(read([`${CHUNKED}zz`])).toMatchObject({ state: "done", surplus: 2 });
    expect(read(["HTTP/1.1 204 No Content\r\n\r\nhello"])).toMatchObject({ state: "done", surplus: 5 });
  });
});

describe("a response that is cut", () => {
  test("says where, at every byte", () => {
    for (const text of [LENGTH, CHUNKED])
      for (let at = 0; at < text.length; at++) {
        const { reader } = read([text.slice(0, at)]);
        const inHead = at < text.indexOf("\r\n\r\n") + 4;
        expect(reader.end()).toBe(at === 0 ? "before-byte" : inHead ? "head" : "body");
      }
  });

  test("1xx and nothing else is a cut head; a reset cuts what only a close completes", () => {
    expect(read(["HTTP/1.1 100 Continue\r\n\r\n"]).reader.end()).toBe("head");
    expect(read([CLOSE]).reader.cut).toBe("body");
    expect(read([LENGTH]).reader.end()).toBe("done");
  });
});

describe("a malformed response", () => {
  const head = (fields: string, line = "HTTP/1.1 200 OK") => `${line}\r\n${fields}\r\n`;
  const CASES: Record<string, string> = {
    "conflicting lengths": head("Content-Length: 5\r\nContent-Length: 6\r\n"),
    "length and chunked": head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    "chunked twice": head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "unknown coding": head("Transfer-Encoding: gzip, chunked\r\n"),
    "chunked in HTTP/1.0": head("Transfer-Encoding: chunked\r\n", "HTTP/1.0 200 OK"),
    "chunked with 204": head("Transfer-Encoding: chunked\r\n", "HTTP/1.1 204 No Content"),
    "negative length": head("Content-Length: -1\r\n"),
    "length list": head("Content-Length: 5, 5\r\n"),
    "empty length": head("Content-Length: \r\n"),
    "huge length": head("Content-Length: 99999999999999999999\r\n"),
    "folded line": head("A: b\r\n c\r\n"),
    "blank before the colon": head("A : b\r\n"),
    "no colon": head("hello\r\n"),
    "NUL in a value": head("A: b\0c\r\n"),
    "bare line feed": "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "bare carriage return": head("A: b\rc\r\n"),
    "another protocol": "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": "HTTP/2 200\r\n\r\n",
    "HTTP/1.2": head("", "HTTP/1.2 200 OK"),
    "status of two digits": head("", "HTTP/1.1 20 OK"),
    "status 999": head("", "HTTP/1.1 999 OK"),
    "101 unasked": head("", "HTTP/1.1 101 Switching Protocols"),
    "chunk size no number": `${head("Transfer-Encoding: chunked\r\n")}xyz\r\n`,
    "chunk size missing": `${head("Transfer-Encoding: chunked\r\n")}\r\n`,
    "chunk size too long": `${head("Transfer-Encoding: chunked\r\n")}${"0".repeat(14)}\r\n`,
    "chunk longer than said": `${head("Transfer-Encoding: chunked\r\n")}3\r\nhello\r\n`,
    "chunk with bare line feed": `${head("Transfer-Encoding: chunked\r\n")}3\nhel\r\n`,
    "bad trailer": `${head("Transfer-Encoding: chunked\r\n")}0\r\nbad trailer\r\n\r\n`,
    "too many fields": head("A: b\r\n".repeat(200)),
    "endless head": `HTTP/1.1 200 OK\r\nA: ${"b".repeat(70_000)}`,
  };
  for (const [name, text] of Object.entries(CASES))
    test(name, () => {
      const { state, reader } = read([text]);
      expect(state).toBe("bad");
      expect(reader.problem).toBeString();
      expect(read([...text]).state).toBe("bad");
      expect(reader.push(bytes(LENGTH))).toBe("bad");
    });

  test("what is unusual but clear is not malformed", () => {
    const fine = [
      head("Content-Length: 0\r\nContent-Length: 0\r\n"),
      "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
      head("Content-Length:0\r\nA:\r\n"),
      `${head("transfer-encoding: Chunked\r\n")}0\r\n\r\n`,
      `${head("Transfer-Encoding: chunked\r\n")}A ; x="y"\r\n0123456789\r\n0\r\n\r\n`,
    ];
    for (const text of fine) expect(read([text]).state).toBe("done");
  });
});
