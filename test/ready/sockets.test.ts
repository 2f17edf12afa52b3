/** The checks that ask a socket, against real listeners: what passes, what does not, and what is told meanwhile. */
import { describe, expect, test } from "bun:test";
import { SystemError } from "../../src/os/libc.ts";
import { defaultCheck, parseCheck } from "../../src/ready/parse.ts";
import type { Listener } from "../../src/sockets/held.ts";
import { TurnedClock } from "../fake-os/clock.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";
import { ask, ground, serve, TRANSPORTS } from "./stage.ts";

/** As a thread of socketserver does with a client that says nothing. */
const ANSWERS_AN_END = `
import socket
listener = socket.socket(fileno=3)
listener.setblocking(True)
client, _ = listener.accept()
client.setblocking(True)
assert client.recv(1024) == b""
try:
    # Over TCP only the second one fails where the client is gone.
    for _ in range(2):
        client.sendall(b"who is there?")
    print("answered")
except OSError as error:
    print(type(error).__name__)
`;

const answer = (status: string, more = "") => `HTTP/1.1 ${status}\r\nContent-Length: 2\r\n${more}\r\nok`;
const GOOD = answer("200 OK");

describe.each(TRANSPORTS)("over %s", (transport) => {
  describe("http passes on any complete answer below 500", () => {
    test.each<[string, string]>([
      ["200", GOOD],
      ["301", answer("301 Moved", "Location: /x\r\n")],
      ["404", answer("404 Not Found")],
      ["401, in HTTP/1.0, ended by closing", "HTTP/1.0 401 Unauthorized\r\n\r\nwho are you?"],
      ["chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
      ["204 without a body", "HTTP/1.1 204 No Content\r\n\r\n"],
    ])("%s", async (_, text) => {
      using place = ground(transport);
      using _server = serve(place.young, (s) => void s.end(text));
      using asking = ask(parseCheck("http"), [place.young]);
      await until(() => asking.passed === 1, { what: "it to pass", context: () => asking.obstacle });
    });
  });

  describe("and on nothing else, and says what stands in the way", () => {
    test.each<[what: string, text: string, obstacle: string]>([
      ["500", answer("500 Internal Server Error"), "it answered 500"],
      ["503", answer("503 Service Unavailable"), "it answered 503"],
      ["half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok", "it closed the connection"],
      ["half a head", "HTTP/1.1 200 OK\r\nConte", "it closed the connection"],
      ["nothing, and an end", "", "it closed the connection"],
      ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", "its answer is not HTTP"],
    ])("%s", async (_, text, obstacle) => {
      using place = ground(transport);
      let requests = 0;
      using _server = serve(place.young, (s) => {
        requests += 1;
        s.end(text);
      });
      using asking = ask(parseCheck("http"), [place.young]);
      // Asked again and again: it may still become good.
      await until(() => requests >= 3, { what: "three requests", context: () => asking.obstacle });
      await until(() => asking.obstacle.includes(obstacle), {
        what: obstacle,
        context: () => asking.obstacle,
      });
      expect(asking.passed).toBe(0);
    });
  });

  test("http: a bad answer is told until another one comes", async () => {
    using place = ground(transport);
    let requests = 0;
    using _server = serve(place.young, (s) => {
      requests += 1;
      if (requests === 1) s.end(answer("500 Internal Server Error"));
    });
    using asking = ask(parseCheck("http"), [place.young]);
    await until(() => requests === 2, { what: "a second request" });
    expect(asking.obstacle).toBe("it answered 500");
  });

  test("http:/path wants 2xx or 3xx of that path", async () => {
    using place = ground(transport);
    let healthy = false;
    const asked = new Set<string>();
    using _server = serve(place.young, (s, request) => {
      asked.add(request.split("\r\n")[0] ?? "");
      s.end(healthy ? GOOD : answer("404 Not Found"));
    });
    using asking = ask(parseCheck("http:/health?deep=1"), [place.young]);
    await until(() => asking.obstacle === "it answered 404", { what: "404 to be told" });
    expect(asking.passed).toBe(0);
    healthy = true;
    await until(() => asking.passed === 1, { what: "it to pass" });
    expect([...asked]).toEqual(["GET /health?deep=1 HTTP/1.1"]);
  });

  test("an answer of the old generation never counts", async () => {
    using place = ground(transport);
    using _old = serve(place.old, (s) => void s.end(GOOD));
    for (const text of ["http", "connect"]) {
      using asking = ask(parseCheck(text), [place.young]);
      const told = text === "http" ? "it has not answered" : "it has not accepted a connection";
      await until(() => asking.obstacle === told, { what: told, context: () => asking.obstacle });
      expect(asking.passed).toBe(0);
    }
    using asking = ask(parseCheck("http"), [place.young]);
    using _young = serve(place.young, (s) => void s.end(GOOD));
    await until(() => asking.passed === 1, { what: "it to pass" });
  });

  test("connect: a finished connect proves nothing, the empty accept queue does, on every listener", async () => {
    using place = ground(transport);
    using asking = ask(parseCheck("connect"), [place.old, place.young]);
    using _old = serve(place.old, () => {});
    await until(() => !place.old.hasQueued() && place.young.hasQueued(), { what: "one of two to accept" });
    expect(asking.passed).toBe(0);
    using _young = serve(place.young, () => {});
    await until(() => asking.passed === 1, { what: "it to pass" });
  });

  test("connect: its end is closed, and what a server says to that is still read", async () => {
    using place = ground(transport);
    const fd = place.young.fd ?? -1;
    const server = Bun.spawn([PYTHON, "-c", ANSWERS_AN_END], { stdio: ["ignore", "pipe", "inherit", fd] });
    using asking = ask(parseCheck("connect"), [place.young]);
    await until(() => asking.passed === 1, { what: "it to pass" });
    expect(await server.stdout.text()).toBe("answered\n");
    await server.exited;
  });

  test("passes once, and one that is given up asks no more", async () => {
    using place = ground(transport);
    let requests = 0;
    using _server = serve(place.young, (s) => {
      requests += 1;
      s.end(answer("500 Internal Server Error"));
    });
    const asking = ask(parseCheck("http"), [place.young]);
    await until(() => requests === 1, { what: "a request" });
    asking[Symbol.dispose]();
    using after = ask(parseCheck("connect"), [place.young]);
    await until(() => after.passed === 1, { what: "the next check to pass" });
    expect(requests).toBe(1);
    expect(asking.passed).toBe(0);
  });
});

describe.each(TRANSPORTS)(
  "what nobody asked for, over %s: any sign of life of the new one will do",
  (transport) => {
    test.each<[what: string, answerTo: (s: Bun.Socket<undefined>) => void]>([
      // https://github.com/netdata/netdata/issues/11822: nginx with proxy_protocol hangs up on a plain request.
      ["a hang-up", (s) => void s.end()],
      // https://github.com/lsst-sqre/phalanx/pull/5103: TLS by the environment; the alert of a server that wants a ClientHello.
      ["a TLS alert", (s) => void s.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 70]))],
      ["HTTP/2", (s) => void s.end(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]))],
      ["an echo", (s) => void s.end("GET / HTTP/1.1\r\n\r\n")],
      // https://github.com/Kludex/uvicorn/pull/2829: the front page streams.
      [
        "a body that never ends",
        (s) => void s.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata"),
      ],
      ["a page that takes its time", () => {}],
      ["404", (s) => void s.end(answer("404 Not Found"))],
    ])("%s", async (_, answerTo) => {
      using place = ground(transport);
      using _server = serve(place.young, answerTo);
      using asking = ask(defaultCheck("http"), [place.young]);
      await until(() => asking.passed === 1, { what: "it to pass", context: () => asking.obstacle });
    });

    // "A probe of an unknown threaded server causes a BrokenPipe trace: it closes before reading the answer."
    test("an answer in two writes is read to its end", async () => {
      using place = ground(transport);
      const clock = new TurnedClock();
      let young: Bun.Socket<undefined> | undefined;
      using _server = serve(place.young, (s) => {
        s.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        young = s;
      });
      using asking = ask(defaultCheck("http"), [place.young], { clock });
      const looks = async (done: () => boolean, what: string) =>
        await until(async () => done() || void (await clock.turn(5)), { what, everyMs: 1 });
      await looks(() => young !== undefined, "the head");
      const from = clock.now();
      await looks(() => clock.now() >= from + 100, "20 looks");
      expect(asking.passed).toBe(0);
      young?.end("ok");
      await looks(() => asking.passed === 1, "it to pass");
    });

    test("but not an error of 500 or more, a listener that nobody accepts from, or a request that nobody reads", async () => {
      using place = ground(transport);
      using asking = ask(defaultCheck("http"), [place.young]);
      await until(() => asking.obstacle === "it has not answered", { what: "the silence to be told" });
      using broken = ground(transport);
      using _server = serve(broken.young, (s) => void s.end(answer("503 Service Unavailable")));
      using other = ask(defaultCheck("http"), [broken.young]);
      await until(() => other.obstacle === "it answered 503", { what: "503 to be told" });
      expect(other.hint).toContain("--ready http:/health");
      expect(other.hint).toContain("--ready connect");
      expect([asking.passed, other.passed]).toEqual([0, 0]);
    });
  },
);

// https://github.com/mozilla-services/socorro/pull/4939: every deploy mails the admins, and a probe that is refused did so 15 times a second.
test("a Host of the user's choice, and an answered request is repeated ever more slowly", async () => {
  using place = ground("unix");
  const hosts: string[] = [];
  using _server = serve(place.young, (s, request) => {
    hosts.push(/^GET (\S+) .*\r\nHost: (\S+)/s.exec(request)?.slice(1).join(" ") ?? request);
    s.end(answer("400 Bad Request"));
  });
  const clock = new TurnedClock();
  using _asking = ask(parseCheck("http://example.org/health"), [place.young], { clock });
  // The real server answers within each real look, so that the turned clock sees every answer.
  await until(async () => clock.now() >= 10_000 || void (await clock.turn(5)), {
    what: "ten seconds of the clock",
    everyMs: 1,
  });
  expect(new Set(hosts)).toEqual(new Set(["/health example.org"]));
  expect(hosts.length).toBeGreaterThan(3);
  expect(hosts.length).toBeLessThan(12);
});

test.each(["http:health", "http://", "http:///x", "http://a b/"])("--ready %s is refused", (text) => {
  expect(() => parseCheck(text)).toThrow(`--ready '${text}' is not a readiness check`);
});

test.each(["http", "connect"])("%s: a refusal is no crash but an obstacle", async (text) => {
  using place = ground("unix");
  const refusing: Listener = {
    ...place.young,
    connect: () => {
      throw new SystemError("connect", "ECONNREFUSED");
    },
  };
  using asking = ask(parseCheck(text), [refusing]);
  await until(() => asking.obstacle.startsWith("connect: ECONNREFUSED"), { what: "the refusal to be told" });
  expect(asking.passed).toBe(0);
});
