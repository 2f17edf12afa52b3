/** What is taken for the end of a message decides where the next request goes: wrong means smuggled, or answered twice. */
import { describe, expect, test } from "bun:test";
import { beginning, Exchange } from "../../src/kept/framing.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

type Step = ["c" | "s", string];
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";

function after(steps: readonly Step[], size = Number.POSITIVE_INFINITY): Exchange {
  const exchange = new Exchange();
  for (const [side, text] of steps)
    for (let at = 0; at < text.length; at += size) {
      const piece = bytes(text.slice(at, at + size));
      if (side === "c") exchange.sent(piece);
      else exchange.answered(piece);
    }
  return exchange;
}

const TABLE: [what: string, steps: Step[], state: "between" | "inside" | "opaque"][] = [
  ["nothing", [], "between"],
  ["a request", [["c", GET]], "inside"],
  ["half a head", [["c", "GET / HTTP/1.1\r\nHo"]], "inside"],
  [
    "answered",
    [
      ["c", GET],
      ["s", OK],
    ],
    "between",
  ],
  [
    "half an answer",
    [
      ["c", GET],
      ["s", OK.slice(0, -1)],
    ],
    "inside",
  ],
  [
    "a body",
    [
      ["c", POST],
      ["s", OK],
    ],
    "between",
  ],
  [
    "an early answer, with the body still to come",
    [
      ["c", POST.slice(0, -1)],
      ["s", OK],
    ],
    "inside",
  ],
  [
    "and when it has come",
    [
      ["c", POST.slice(0, -1)],
      ["s", OK],
      ["c", "o"],
    ],
    "between",
  ],
  [
    "a body that is itself a request, behind an early answer",
    [
      ["c", `POST / HTTP/1.1\r\nContent-Length: ${GET.length + 1}\r\n\r\n`],
      ["s", OK],
      ["c", GET],
    ],
    "inside",
  ],
  [
    "chunks and trailers",
    [
      ["c", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"],
      ["s", OK],
    ],
    "between",
  ],
  [
    "chunks without the last",
    [
      ["c", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
      ["s", OK],
    ],
    "inside",
  ],
  [
    "chunks in the answer",
    [
      ["c", GET],
      ["s", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"],
    ],
    "between",
  ],
  [
    "HEAD",
    [
      ["c", "HEAD / HTTP/1.1\r\n\r\n"],
      ["s", "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"],
    ],
    "between",
  ],
  [
    "204",
    [
      ["c", GET],
      ["s", "HTTP/1.1 204 No Content\r\n\r\n"],
    ],
    "between",
  ],
  [
    "304 with a length",
    [
      ["c", GET],
      ["s", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"],
    ],
    "between",
  ],
  [
    "100 Continue",
    [
      ["c", POST.slice(0, -5)],
      ["s", "HTTP/1.1 100 Continue\r\n\r\n"],
    ],
    "inside",
  ],
  [
    "100 Continue, the body, the answer",
    [
      ["c", POST.slice(0, -5)],
      ["s", "HTTP/1.1 100 Continue\r\n\r\n"],
      ["c", "hello"],
      ["s", OK],
    ],
    "between",
  ],
  [
    "103 before the answer",
    [
      ["c", GET],
      ["s", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"],
    ],
    "inside",
  ],
  [
    "two requests in one piece, one answer",
    [
      ["c", GET + POST],
      ["s", OK],
    ],
    "inside",
  ],
  [
    "two answers",
    [
      ["c", GET + POST],
      ["s", OK + OK],
    ],
    "between",
  ],
  [
    "an answer that ends by closing",
    [
      ["c", GET],
      ["s", "HTTP/1.1 200 OK\r\n\r\nhi"],
    ],
    "inside",
  ],
  [
    "an answer that says close",
    [
      ["c", GET],
      ["s", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"],
    ],
    "inside",
  ],
  [
    "HTTP/1.0 without keep-alive",
    [
      ["c", GET],
      ["s", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"],
    ],
    "inside",
  ],
  [
    "HTTP/1.0 with it",
    [
      ["c", GET],
      ["s", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"],
    ],
    "between",
  ],
  [
    "a request that says close",
    [
      ["c", "GET / HTTP/1.1\r\nConnection: close, x\r\n\r\n"],
      ["s", OK],
    ],
    "inside",
  ],
  [
    "a request of HTTP/1.0",
    [
      ["c", "GET / HTTP/1.0\r\n\r\n"],
      ["s", OK],
    ],
    "inside",
  ],
  [
    "an upgrade",
    [
      ["c", GET],
      ["s", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"],
    ],
    "opaque",
  ],
  [
    "an upgrade that is refused",
    [
      ["c", "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"],
      ["s", OK],
    ],
    "between",
  ],
  [
    "CONNECT",
    [
      ["c", "CONNECT a:1 HTTP/1.1\r\n\r\n"],
      ["s", OK],
    ],
    "opaque",
  ],
  ["HTTP/2", [["c", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]], "opaque"],
  [
    "an answer that was not asked for",
    [["s", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]],
    "opaque",
  ],
  ["two lengths", [["c", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"]], "opaque"],
  [
    "a length and chunks",
    [["c", "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"]],
    "opaque",
  ],
  [
    "a coding that is not chunked",
    [["c", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"]],
    "opaque",
  ],
  ["a length that is no number", [["c", "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n"]], "opaque"],
  ["a blank before the colon", [["c", "POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\n"]], "opaque"],
  ["a folded line", [["c", "POST / HTTP/1.1\r\nX: a\r\n Content-Length: 5\r\n\r\n"]], "opaque"],
  ["a bare LF", [["c", "POST / HTTP/1.1\r\nX: a\nContent-Length: 5\r\n\r\n"]], "opaque"],
  ["a bare CR", [["c", "POST / HTTP/1.1\r\nX: a\rContent-Length: 5\r\n\r\n"]], "opaque"],
  [
    "bare LFs alone, and an answer to them",
    [
      ["c", "GET / HTTP/1.1\n\n"],
      ["s", OK],
    ],
    "opaque",
  ],
  ["a head without an end", [["c", `GET / HTTP/1.1\r\nX: ${"x".repeat(70_000)}`]], "opaque"],
];

const stateOf = ({ isBetween, isOpaque }: Exchange) =>
  isOpaque ? "opaque" : isBetween ? "between" : "inside";

describe("where an exchange stands", () => {
  test.each(TABLE)("%s", (_, steps, state) => {
    expect(stateOf(after(steps))).toBe(state);
    expect(stateOf(after(steps, 1))).toBe(state);
  });
});

test("the beginning of a request is told from anything else", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "M-SEARCH * HTTP/1.0\r\nHost"])
    expect(beginning(bytes(text))).toBe("request");
  for (const text of ["", "G", "GET ", "GET /a", "GET / HTT", "GET / HTTP/1.1\r"])
    expect(beginning(bytes(text))).toBe("more");
  for (const text of [
    "\x16\x03\x01",
    "hello\r\n",
    "GET  / HTTP/1.1\r\n",
    "PRI * HTTP/2.0\r\n",
    "GET /\r\n",
    "{}",
    "GET / HTTP/1.1\n",
    "\r\nGET / HTTP/1.1\r\n",
  ])
    expect(beginning(bytes(text))).toBe("other");
});

/** Random exchanges in random pieces: between exactly where a whole one has been answered. */
test("random exchanges, cut anywhere", () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  let state = seed;
  const random = (n: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % n;
  };
  const body = () => "x".repeat(random(40));
  const chunked = () =>
    `${Array.from({ length: random(4) }, () => "5;a=b\r\nhello\r\n").join("")}0\r\n${random(2) ? "T: v\r\n" : ""}\r\n`;
  const message = (line: string) => {
    const [b, c] = [body(), chunked()];
    return random(2)
      ? `${line}\r\nContent-Length: ${b.length}\r\n\r\n${b}`
      : `${line}\r\nTransfer-Encoding: chunked\r\n\r\n${c}`;
  };
  const pieces = (text: string): string[] => {
    const cut: string[] = [];
    for (let at = 0; at < text.length; ) {
      const size = 1 + random(30);
      cut.push(text.slice(at, at + size));
      at += size;
    }
    return cut;
  };
  for (let round = 0; round < 300; round++) {
    const exchange = new Exchange();
    for (let n = 1 + random(5); n > 0; n--) {
      const isHead = random(4) === 0;
      const request = isHead ? "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" : message("POST /a HTTP/1.1\r\nHost: x");
      const answer = isHead ? "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n" : message("HTTP/1.1 200 OK");
      const interim = random(3) === 0 ? "HTTP/1.1 103 Early Hints\r\n\r\n" : "";
      for (const piece of pieces(request)) {
        exchange.sent(bytes(piece));
        expect({ seed, round, isBetween: exchange.isBetween }).toEqual({ seed, round, isBetween: false });
      }
      const parts = pieces(interim + answer);
      for (const [i, piece] of parts.entries()) {
        exchange.answered(bytes(piece));
        const isWhole = i === parts.length - 1;
        expect({ seed, round, isBetween: exchange.isBetween }).toEqual({ seed, round, isBetween: isWhole });
      }
    }
  }
});
