/**
 * Commands that bind by themselves, unmodified and behind whatever stands in front of them: `--handover intercept` gives their own
 * bind(2) the held listener.
 */
import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { placeIn } from "../harness/contract.ts";
import { freePort } from "../harness/free-port.ts";
import { LAUNCHER, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { BUILT, GUNICORNS, isThere, PYTHON } from "../setup/places.ts";

const gunicorn = (at: string) =>
  `${GUNICORNS.debian} wsgi:application -w 2 -b ${at.startsWith("/") ? `unix:${at}` : at}`;

/** At a path or host:port. */
const COMMANDS: Record<string, { needs?: string; words: (at: string) => string[] }> = {
  "Node, its own listen": { words: (at) => ["node", "node.mjs", at] },
  "npm start, through npm, sh and node": {
    needs: "npm",
    words: (at) => ["npm", "--silent", "exec", "--offline", "-c", `node node.mjs ${at}`],
  },
  "Go, static: MPTCP first": { needs: BUILT.go, words: (at) => [BUILT.go, at] },
  "gunicorn behind a shell that stays": { words: (at) => ["sh", "-c", `cd . && ${gunicorn(at)}; exit $?`] },
  // newrelic-admin, dotenv run and s6-setuidgid do the same to the words: they are not gunicorn's any more.
  "gunicorn behind env -u and timeout": {
    words: (at) => ["env", "-u", "NOTHING", "timeout", "9d", ...gunicorn(at).split(" ")],
  },
};

const ALL = Object.entries(COMMANDS).flatMap(([name, command]) =>
  (["tcp", "unix"] as const).map((transport) => ({ name, transport, ...command })),
);
const canRun = ({ needs = "sh" }) => isThere(needs);
const CASES = ALL.filter(canRun);
const MISSING = ALL.filter((one) => !canRun(one));
if (MISSING.length > 0) test.skip.each(MISSING)("$name over $transport: $needs is not installed", () => {});

// Tried on 0.1.0: each of them was rolled back, or a swap that was called a success lost requests and then the path for ever.
test.each(CASES)(
  "$name over $transport: two swaps, nothing dropped, nothing left",
  async ({ transport, words }) => {
    using dir = tempDir();
    const place = await placeIn(dir.path, transport);
    const target = transport === "unix" ? `unix:${place.at}` : place.at;
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0.2", "--handover", "intercept", "-b", target, "--", ...words(place.at)],
      { cwd: place.directory },
    );
    await using load = await startLoad({ target, rate: 200 });
    await load.more(20);
    for (const generation of [2, 3]) {
      await hupwatch.swap(generation);
      await load.more(20);
    }
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
    hupwatch.signal("SIGTERM");
    await hupwatch.exited;
    await hupwatch.assertTreeGone();
    if (transport === "unix") expect(existsSync(place.at)).toBe(false);
  },
  120_000,
);

// The wrapper's own reaction to TERM ends the server at once (sh), or leaves it to be killed.
test("the stop signal goes to the server, and the wrapper in front of it gets one afterwards", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "tcp");
  const stubborn = `trap "echo wrapper told >&2; exit 0" TERM; node node.mjs ${place.at} & while :; do sleep 0.1; done`;
  await using hupwatch = await startHupwatch(
    [
      "-k",
      "-v",
      "-w",
      "0",
      "--drain-until-idle",
      "0s",
      "--handover",
      "intercept",
      "-b",
      place.at,
      "--",
      "sh",
      "-c",
      stubborn,
    ],
    { cwd: place.directory },
  );
  const [, server] = await hupwatch.until(/version 1 ready \(pid: (\d+)\)/);
  const slow = fetch(`http://${place.at}/slow?ms=2500`, { keepalive: false }).then((answer) => answer.text());
  await hupwatch.swap(2);
  expect(await slow).toBe("slow\n");
  expect(hupwatch.log).toContain(`generation 1: sent SIGTERM to ${server}`);
  // By way of its tee, and so perhaps after the line that it is gone.
  await hupwatch.until(/wrapper told/);
}, 120_000);

test("below another supervisor of this kind it is refused, with the way out", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "tcp");
  const inner = [
    LAUNCHER,
    "--run-dir",
    `${dir.path}/inner`,
    "--handover",
    "intercept",
    "--",
    "node",
    "node.mjs",
    place.at,
  ];
  await using hupwatch = spawnHupwatch(["-k", "--handover", "intercept", "-b", place.at, "--", ...inner], {
    cwd: place.directory,
  });
  await hupwatch.until(/cannot intercept 'node': a supervisor above hupwatch already traps its system calls/);
  expect(await hupwatch.exited).toBe(125);
}, 120_000);

/** What a listener has after its bind and listen; the second word binds it in the other family. */
const TELLS = `
import os, select, socket, sys
listener = socket.socket(socket.AF_INET6)
for level, option, value in [(41, 26, 1), (1, 7, 50000), (1, 8, 60000), (6, 9, 7)]:
    listener.setsockopt(level, option, value)
listener.setblocking(False)
listener.bind(("::1", int(sys.argv[1])))
listener.listen(3)
told = [listener.getsockopt(level, option) for level, option in [(41, 26), (1, 7), (1, 8), (6, 9)]]
seen = [told, listener.getblocking(), listener.get_inheritable(), listener.getsockname()[:2]]
os.write(2, f"told {seen}\\n".encode())
while True:
    select.select([listener], [], [])
    listener.accept()[0].close()
`;

// Which family of addresses a socket takes, and what its connections inherit, is set before the bind.
test("options that were set before the bind, O_NONBLOCK and close-on-exec are those of the listener", async () => {
  using dir = tempDir();
  const port = `${await freePort("::1")}`;
  const words = [PYTHON, "-c", TELLS, port];
  const plain = Bun.spawn(words, { stderr: "pipe" });
  const expected = new TextDecoder().decode((await plain.stderr.getReader().read()).value).trim();
  plain.kill();
  await plain.exited;
  await using hupwatch = await startHupwatch(
    ["-k", "--handover", "intercept", "-b", `[::1]:${port}`, "--", ...words],
    {
      cwd: dir.path,
    },
  );
  expect(expected).toStartWith("told [[1, ");
  expect((await hupwatch.until(/^told .*$/m))[0]).toBe(expected);
}, 120_000);

/** Its first listener is non-blocking, a second one blocks, as each new socket does; at TERM it tells what the first one is then. */
const BINDS_AGAIN = `
import fcntl, os, select, signal, socket, sys, threading
def bound():
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", int(sys.argv[1])))
    one.listen()
    return one
is_first = os.environ["HUPWATCH_GENERATION"] == "1"
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
listener = bound()
if is_first: listener.setblocking(False)
more = bound() if sys.argv[2] == "one" else None
def accept():
    while True:
        select.select([listener], [], [])
        listener.accept()[0].close()
threading.Thread(target=accept, daemon=True).start()
signal.sigwait([signal.SIGTERM])
flags = fcntl.fcntl(listener, fcntl.F_GETFL)
if is_first: os.write(2, b"kept\\n" if flags & os.O_NONBLOCK else b"cleared\\n")
`;

// aiohttp with --cutover share: the next generation's bind cleared O_NONBLOCK of the listener that both have. The old one's event loop
// stood still in accept(2) until another client came, for half a second and more.
test.each([
  ["one", "steer"],
  ["two", "share"],
])(
  "a bind leaves a listener non-blocking that is in use: %s generation(s)",
  async (generations, cutover) => {
    using dir = tempDir();
    const words = [PYTHON, "-c", BINDS_AGAIN, `${await freePort()}`, generations];
    const options = ["-k", "-w", "0", "--cutover", cutover, "--handover", "intercept"];
    await using hupwatch = await startHupwatch([...options, "--", ...words], { cwd: dir.path });
    await hupwatch.swap(2);
    const [told] = await hupwatch.until(/^(kept|cleared)$/m);
    expect(told).toBe("kept");
  },
  120_000,
);

// netty#16240: its native transport registered before it bound, and SETFD drops the registration.
test("a socket that is in epoll before its bind: refused at a held address, elsewhere left to the command", async () => {
  using dir = tempDir();
  const port = await freePort("0.0.0.0");
  const early = `
import select, socket
listener, poll = socket.socket(), select.epoll()
poll.register(listener, select.EPOLLIN)
listener.bind(("0.0.0.0", ${port}))
listener.listen()
while True:
    poll.poll()
    listener.accept()[0].close()`;
  const words = ["--", PYTHON, "-c", early];
  await using held = spawnHupwatch(["-k", "-b", `0.0.0.0:${port}`, ...words], { cwd: dir.path });
  await held.until(/put its socket into epoll before the bind.*: update it/);
  await held.exited;
  // Its tee may still be passing that on.
  const failed = () => held.log.includes("OSError: [Errno 5] Input/output error");
  await until(failed, { what: "the command's error", context: () => held.log });
  await using own = await startHupwatch(["-k", ...words], { cwd: dir.path });
  expect(own.log).toContain(`it keeps 0.0.0.0:${port}, and no swap can pass that on`);
  own.hup();
  await own.until(LOG.rolledBack);
  expect(own.log).toContain(`the serving one listens on 0.0.0.0:${port} (pid `);
}, 120_000);

test("-k: no process of an intercepted command outlives a killed hupwatch, and neither does its keeper", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "tcp");
  const words = ["sh", "-c", `node node.mjs ${place.at}; exit $?`];
  await using hupwatch = await startHupwatch(["-k", "--handover", "intercept", "--", ...words], {
    cwd: place.directory,
  });
  hupwatch.signal("SIGKILL");
  await hupwatch.exited;
  await hupwatch.assertTreeGone();
}, 120_000);

test("a path that is bound and never listened at is not left behind", async () => {
  using dir = tempDir();
  const binds = `import socket; s = socket.socket(socket.AF_UNIX); s.bind("bound.sock"); print("bound", flush=True)`;
  await using hupwatch = spawnHupwatch(["-k", "--handover", "intercept", "--", PYTHON, "-c", binds], {
    cwd: dir.path,
  });
  await hupwatch.until(/bound/, { stream: "output" });
  await hupwatch.exited;
  await hupwatch.assertTreeGone();
  expect(readdirSync(dir.path)).toEqual([]);
}, 120_000);

// Signals interrupt poll(2) and nothing else: a swap was rolled back by "keeper: ETIMEDOUT" when some child ended meanwhile.
test("signals that come while the keeper starts a generation do not fail it", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "tcp");
  await using hupwatch = await startHupwatch(
    ["-k", "-w", "0", "--handover", "intercept", "--", "node", "node.mjs", place.at],
    { cwd: place.directory },
  );
  const storm = setInterval(() => hupwatch.alive && process.kill(hupwatch.pid, "SIGCHLD"), 1);
  try {
    for (const generation of [2, 3, 4]) await hupwatch.swap(generation);
  } finally {
    clearInterval(storm);
  }
  expect(hupwatch.log).not.toMatch(LOG.rolledBack);
}, 120_000);

/** As HAProxy does: listen(2) only where the socket does not listen. */
const ASKS_FIRST = (port: number) => `
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", ${port}))
if not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN): s.listen()
while True: s.accept()[0].close()`;

test("a server that finds its socket listening, and does not call listen(2), is ready all the same", async () => {
  using dir = tempDir();
  const words = [PYTHON, "-c", ASKS_FIRST(await freePort())];
  await using hupwatch = await startHupwatch(["-k", "-w", "0", "--handover", "intercept", "--", ...words], {
    cwd: dir.path,
  });
  await hupwatch.swap(2);
}, 120_000);
