/** Everything that reads what others wrote, with seeds to start from, and what must be true of whatever is taken. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cutAtCommand, parse } from "../../src/cli/parse.ts";
import run from "../../src/cli/run.ts";
import { RequestReader } from "../../src/control/request.ts";
import { parseDuration } from "../../src/duration.ts";
import { watchdogMsOf } from "../../src/events/systemd.ts";
import { ResponseReader } from "../../src/http/response.ts";
import { readState, statePath } from "../../src/instance/state-file.ts";
import { readEvent } from "../../src/intercept/protocol.ts";
import { parseTarget } from "../../src/load/target.ts";
import { MAX_DELAY_MS } from "../../src/os/clock.ts";
import { listenersIn } from "../../src/os/netstat.ts";
import { parseNotification } from "../../src/os/notify-socket.ts";
import { parseStat } from "../../src/os/procfs.ts";
import { UnixSocket } from "../../src/os/sockdiag.ts";
import { parseEnvFile } from "../../src/plan/env-file.ts";
import { parseHook } from "../../src/plan/hook.ts";
import { readOptions } from "../../src/plan/options.ts";
import { planRun } from "../../src/plan/plan.ts";
import { parseStopSequence } from "../../src/plan/stop-sequence.ts";
import { parseCheck } from "../../src/ready/parse.ts";
import { decode, encode, format } from "../../src/sockets/sockaddr.ts";
import { parseSpecs } from "../../src/sockets/spec.ts";
import { json, plain, plainPage, quoted } from "../../src/text.ts";
import type { Target } from "./fuzz.ts";
import type { Mutator } from "./mutator.ts";

const dir = mkdtempSync("/tmp/hw-fuzz-");
export const removePlace = () => rmSync(dir, { recursive: true, force: true });

/** One text, read by `read`, which returns undefined where it takes nothing. */
const ofText = (
  name: string,
  seeds: readonly string[],
  read: (text: string) => unknown,
  dictionary?: string[],
): Target => ({
  name,
  ...(dictionary ? { dictionary } : {}),
  once(mutator, show) {
    const text = mutator.text(seeds);
    show(text);
    return read(text) !== undefined;
  },
});

/** The same bytes in one piece and in pieces must be read alike. */
function ofBytes<T>(
  name: string,
  seeds: readonly string[],
  read: (pieces: readonly Uint8Array[], mutator: Mutator) => T,
  isTaken: (result: T, bytes: Uint8Array) => boolean,
): Target {
  return {
    name,
    once(mutator, show) {
      const bytes = mutator.bytes(seeds);
      show(Buffer.from(bytes).toString("latin1"));
      const whole = read([bytes], mutator);
      expect(read(mutator.pieces(bytes), mutator)).toEqual(whole);
      return isTaken(whole, bytes);
    },
  };
}

const notifications = ofText(
  "notifications",
  ["READY=1", "STATUS=loading\nEXTEND_TIMEOUT_USEC=5000000", "READY=1\nMAINPID=7\nSTATUS=up\n", "X=\n=Y\n\n"],
  (text) => {
    const message = parseNotification(text);
    for (const [name, value] of Object.entries(message)) expect(text).toContain(`${name}=${value}`);
    return Object.keys(message).length > 0 ? message : undefined;
  },
  ["READY=1", "STATUS=", "EXTEND_TIMEOUT_USEC=", "__proto__=", "\n"],
);

const requests = ofBytes(
  "control requests",
  [
    "GET /status HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /reload?wait=0 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    "GET /events?since=12&since=%zz HTTP/1.0\n\n",
  ],
  (pieces) => {
    const reader = new RequestReader();
    for (const piece of pieces) {
      const found = reader.push(piece);
      if (found) return "status" in found ? { status: found.status } : { ...found, query: `${found.query}` };
    }
    return undefined;
  },
  (found) => found !== undefined && !("status" in found),
);

const responses = ofBytes(
  "HTTP responses",
  [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Version: 7\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    "HTTP/1.0 500 Oops\r\n\r\nuntil the end",
  ],
  (pieces) => {
    const reader = new ResponseReader();
    reader.reset({ keepBodyBytes: 1000 });
    for (const piece of pieces) reader.push(piece);
    const { state, receivedBytes, surplusBytes } = reader;
    const isBad = state === "bad";
    const end = reader.end();
    const body = reader.bodyText();
    return isBad ? { state } : { state, receivedBytes, surplusBytes, end, body, status: reader.status };
  },
  (found, bytes) => {
    if (found.receivedBytes === undefined) return false;
    expect(found.receivedBytes + (found.surplusBytes ?? 0)).toBe(bytes.length);
    return found.state === "done";
  },
);

const STATE = {
  ...{ version: 1, name: "x", hupwatch: { pid: 7, startTime: 8 }, last: 2 },
  generations: [
    {
      ...{ pid: 9, startTime: 10, number: 2, hupwatchPid: 7, role: "serving" },
      listeners: [
        { address: "127.0.0.1:80", inode: 5, group: [5, 6] },
        { address: "unix:/a", inode: 7, privatePath: "/.a" },
      ],
    },
  ],
};

const states = ofText(
  "state files",
  [JSON.stringify(STATE), JSON.stringify({ ...STATE, generations: [] })],
  (text) => {
    writeFileSync(statePath(dir, "x"), text);
    const state = readState(dir, "x");
    for (const generation of state?.generations ?? [])
      expect([generation.pid, generation.startTime, generation.number].every(Number.isSafeInteger)).toBe(
        true,
      );
    return state;
  },
  ['"pid":', '"listeners":', '"generations":', "[", "]", "{", "}", ",", "1.5"],
);

const envFiles = ofText(
  "env files",
  [
    "A=1\nB='two words'\n# comment\nexport C=\"x\\ny\"\n",
    "PATH=/bin\nlines\nD=`a\nb`\n",
    "\ufeffA=1\r\nB: 2\r\n",
  ],
  (text) => {
    const path = `${dir}/env`;
    writeFileSync(path, text);
    const { variables, warnings } = parseEnvFile(path, {});
    expect(Object.entries(variables).flat().join("")).not.toContain("\0");
    const lines = text.split("\n").length;
    for (const { line } of warnings) expect(line >= 1 && line <= lines).toBe(true);
    return Object.keys(variables).length > 0 ? variables : undefined;
  },
  ["=", "\n", "'", '"', "`", "export ", "#", "\\n"],
);

const SPECS = [
  "unix:/tmp/a.sock",
  "web=127.0.0.1:80",
  "[::1]:8080",
  ":0",
  "fd://3",
  "unix:@abstract",
  "a=unix:b",
  "localhost:http",
];
const specs = ofText(
  "bind specs",
  SPECS,
  (text) => {
    const all = parseSpecs([text, "127.0.0.1:1"], "/srv");
    expect(all).toHaveLength(2);
    return all;
  },
  SPECS,
);

const smallValues: [name: string, seeds: string[], read: (text: string) => unknown][] = [
  [
    "durations",
    ["90", "1.5", "200ms", "5s", "2m", "1h", ".5"],
    (text) => {
      const ms = parseDuration(text, "--x");
      expect(ms >= 0 && ms <= MAX_DELAY_MS).toBe(true);
      return ms;
    },
  ],
  [
    "stop sequences",
    ["TERM", "TERM/30s/KILL", "USR1/5s/TERM/30s/KILL", "SIGINT/0", "15/1"],
    (text) => {
      const steps = parseStopSequence(text);
      expect(steps.length).toBeGreaterThan(0);
      return steps;
    },
  ],
  [
    "checks",
    ["http", "http:/health?x", "connect", "notify", "line:^up \\d+$", "exec:curl -f http://x", "delay:1.5"],
    parseCheck,
  ],
  ["hooks", ["ready=echo hi", "rolled-back=./page x=y", "stopped=true"], parseHook],
  [
    "load targets",
    ["unix:/tmp/a.sock:/healthz", "http://127.0.0.1:80/x?y", "http://[::1]:8/", "unix:a.sock"],
    (text) => parseTarget(text, "/srv"),
  ],
  ["watchdogs", ["20000000", "1", ""], (text) => watchdogMsOf({ WATCHDOG_USEC: text }, 1)],
  [
    "keeper's events",
    [
      '{"event":"exited","pid":7,"code":0}',
      '{"event":"bound","generation":1,"pid":7,"address":"127.0.0.1:80"}',
    ],
    readEvent,
  ],
];

const STAT =
  "1234 (a b) (c)) S 1 1234 1234 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 5555 1 2 3 4 5 6 7 8 9 0 0 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 0";
const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
`;
const procTexts: Target[] = [
  ofText("/proc/PID/stat", [STAT, STAT.replace("(a b) (c))", "(\n<0>x)")], (text) => parseStat(text)),
  ofText("/proc/net/tcp", [TCP], (text) => {
    const found = listenersIn(text, "0100007F:1F90");
    return found.length > 0 ? found : undefined;
  }),
];

const DIAG = Buffer.from(
  "3c0000001400020001000000000000000101 0a00 2a000000 ffffffff ffffffff 0c000400 03000000 80000000".replaceAll(
    " ",
    "",
  ),
  "hex",
);
const binary: Target[] = [
  {
    name: "sock_diag answers",
    once(mutator, show) {
      const bytes = mutator.bytes([DIAG]);
      show(bytes);
      if (bytes.length < 32) return false; // shorter ones are not passed on
      const { name, file, queue } = new UnixSocket(new DataView(bytes.buffer, 16, bytes.length - 16));
      return [name, file, queue].some((value) => value !== undefined);
    },
  },
  {
    name: "socket addresses",
    once(mutator, show) {
      const bytes = mutator.bytes([
        encode({ family: "unix", path: "/tmp/a.sock" }),
        encode({ family: "inet", host: "127.0.0.1", port: 80 }),
        encode({ family: "inet6", host: "::1", port: 80 }),
      ]);
      // The kernel gives the whole of an address, of a family that was asked for.
      const whole = new Uint8Array(Math.max(28, bytes.length));
      whole.set(bytes);
      whole[0] = mutator.random.pick([1, 2, 10]);
      whole[1] = 0;
      show(whole);
      return format(decode(whole)) !== "";
    },
  },
];

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
const ORDERS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;
const texts = ofText(
  "texts for people",
  ["generation 2 exited", "a\x1b[31m\n<0>oops\r\x9b2J\u2028\u202e", "To fix: x"],
  (text) => {
    for (const shown of [
      plain(text),
      plainPage(text).replaceAll("\x1b[1m", "").replaceAll("\x1b[22m", ""),
      quoted(text),
      json(text),
    ])
      expect(shown).not.toMatch(ORDERS);
    expect(plain(text)).not.toContain("\n");
    expect(quoted(text)).not.toMatch(/\n(?! {2}\| )/);
    expect(JSON.parse(json(text))).toBe(text);
    return text;
  },
);

const SERVERS = `gunicorn app:app -b unix:/tmp/a.sock -w 2 --pid x.pid
python -m gunicorn --bind=127.0.0.1:80 --reuse-port app:app
uvicorn app:app --uds a.sock --workers 2
hypercorn -b unix:a.sock app:app
daphne -u a.sock app:app
waitress-serve --listen=*:80 app:app
puma -b tcp://0.0.0.0:80 -C -
unicorn -l a.sock -E none
uwsgi --http-socket :80 --socket a.sock --master
granian --interface asgi app:app --port 80
nginx -c /etc/nginx.conf -g daemon on;
haproxy -W -f /etc/haproxy.cfg
caddy run --config Caddyfile
php-fpm -y fpm.conf -F
node server.js
env A=1 uv run gunicorn app:app -b :80
cheroot app:app --bind 127.0.0.1:80
sh -c exec ./server {fd} {socket} {gen}`
  .split("\n")
  .map((line) => line.split(" "));
const OPTIONS =
  `-k -w 0 -b :80 --ready http:/x --ready-timeout 5s --stop-signal TERM/1s/KILL --handover argv --cutover share
--name shop --chdir /srv --env-file .env --user nobody --group nogroup --umask 022 --respawn-limit 5/60s --on-crash respawn
--hook ready=true --backlog 5 --socket-mode 0660 --socket-owner nobody:nogroup --log-format json --max-draining 3 --pidfile p`
    .split("\n")
    .map((line) => line.split(" "));
const SEEDS = SERVERS.flatMap((server) => [
  ["--", ...server],
  server,
  ...OPTIONS.map((o) => [...o, "--", ...server]),
]);

const SURROUNDINGS = {
  ...{ env: { PATH: "/nowhere" }, cwd: "/", pid: 7, ppid: 1, stderrIsTerminal: false, runDir: "/run/x" },
  // Runs nothing.
  whyNotIntercepted: () => undefined,
  look: "blind",
} as const;

const commandLines: Target = {
  name: "command lines",
  dictionary: SEEDS.flat(),
  once(mutator, show) {
    const words = mutator.words(SEEDS);
    show(words);
    const { head, wrapped } = cutAtCommand(words, run.options);
    expect(words.slice(0, head.length)).toEqual(head);
    expect(wrapped ?? []).toEqual(words.slice(words.length - (wrapped?.length ?? 0)));
    const { values, positionals } = parse(run, words);
    const { plan } = planRun(readOptions(values, positionals, SURROUNDINGS));
    expect(plan.stopSequence.length).toBeGreaterThan(0);
    for (const ms of [plan.readyTimeoutMs, plan.warmupMs, plan.drainUntilIdleMs])
      expect(ms >= 0 && ms <= MAX_DELAY_MS).toBe(true);
    return true;
  },
};

export const TARGETS: readonly Target[] = [
  ...[notifications, requests, responses, states, envFiles, specs],
  ...smallValues.map(([name, seeds, read]) => ofText(name, seeds, read, seeds)),
  ...procTexts,
  ...binary,
  texts,
  commandLines,
];
