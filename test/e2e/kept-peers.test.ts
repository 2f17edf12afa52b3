/**
 * What must not happen to a kept connection, whatever happens (src/kept/README.md): another peer in the app's eyes, a request that is
 * executed twice, or the rest of a body that is executed as a request.
 */
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import { asUser, NOBODY } from "../harness/another-user.ts";
import { freePort } from "../harness/free-port.ts";
import { type Hupwatch, LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { Posts } from "../harness/posts.ts";
import { type TempDir, tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { PYTHON, ROOT } from "../setup/places.ts";

const TIMEOUT_MS = 180_000;

const binds = {
  unix: async (place: string) => `unix:${place}/app.sock`,
  tcp: async () => `127.0.0.1:${await freePort()}`,
  // A listener of both families: the client of IPv4 is ::ffff:127.0.0.1 there.
  "dual stack": async () => `[::]:${await freePort()}`,
};
type Family = keyof typeof binds;
const FAMILIES = Object.keys(binds) as Family[];

interface How {
  mode: string;
  bind: string;
  launcher: string;
}

interface Service extends AsyncDisposable {
  hupwatch: Hupwatch;
  bind: string;
  /** `GENERATION PATH` for each request. */
  executed(): string[];
}

async function service(place: TempDir, family: Family, how: Partial<How> = {}): Promise<Service> {
  const { mode = "adopt", bind = await binds[family](place.path), launcher } = how;
  const file = `${place.path}/executed`;
  chmodSync(place.path, 0o755);
  const command = [PYTHON, `${ROOT}/fixtures/apps/peer.py`];
  const options = ["-k", "-v", "-w", "0", "-b", bind, "--drain-until-idle", "0", "--socket-mode", "0666"];
  // Only of one that is asked so it is known that it speaks HTTP.
  const ready = mode === "auto" ? ["--ready", "http"] : [];
  const hupwatch = await startHupwatch([...options, ...ready, "--kept-connections", mode, "--", ...command], {
    cwd: place.path,
    env: { EXECUTED: file },
    ...(launcher === undefined ? {} : { launcher }),
  });
  return {
    hupwatch,
    bind,
    executed: () => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : []),
    [Symbol.asyncDispose]: () => hupwatch[Symbol.asyncDispose](),
  };
}

/** Asks again and again on one connection, and says all answers, until generation 2 has answered or the connection is over. */
const CLIENT = `
import socket, sys, time
bind, source = sys.argv[1], sys.argv[2]
if bind.startswith("unix:"):
    s = socket.socket(socket.AF_UNIX); s.connect(bind[5:])
else:
    s = socket.create_connection(("127.0.0.1", int(bind.rsplit(":", 1)[1])), source_address=(source, 0))
for line in sys.argv[3:]: s.sendall(line.encode())
answer = ""
while not answer.startswith("2 "):
    data = b""
    while not data.endswith(b"/who\\n"):
        try:
            if not data: s.sendall(b"GET /who HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            more = s.recv(65536)
        except OSError: more = b""
        if not more: print("closed"); sys.exit()
        data += more
    answer = data.split(b"\\r\\n\\r\\n")[1].decode().strip()
    print(answer, flush=True)
    time.sleep(0.02)
`;

/** Of puma. */
const WHO = `
run ->(env) do
  who = [ENV["HUPWATCH_GENERATION"], env["REMOTE_ADDR"], "/who\\n"].join(" ")
  [200, { "content-length" => who.size.to_s }, [who]]
end
`;

async function askedThroughSwap(
  { hupwatch, bind }: Pick<Service, "hupwatch" | "bind">,
  words: (client: string[]) => string[],
) {
  const client = Bun.spawn(words([PYTHON, "-c", CLIENT, bind, "127.0.0.7"]), {
    stdout: "pipe",
    stderr: "inherit",
  });
  const answers: string[] = [];
  const reading = (async () => {
    for await (const bytes of client.stdout)
      answers.push(...Buffer.from(bytes).toString().trim().split("\n").filter(Boolean));
  })();
  await until(() => answers.length > 0, { what: "a first answer" });
  hupwatch.hup();
  await client.exited;
  await reading;
  return new Set(answers);
}

describe("the app sees the same peer before and after", () => {
  const peers: Record<Family, string> = {
    unix: `uid=${process.getuid?.()} gid=${process.getgid?.()}`,
    tcp: "127.0.0.7",
    "dual stack": "::ffff:127.0.0.7",
  };
  test.each(FAMILIES)(
    "%s",
    async (family) => {
      using place = tempDir();
      await using app = await service(place, family);
      const answers = await askedThroughSwap(app, (words) => words);
      expect(answers).toEqual(new Set([`1 ${peers[family]} /who`, `2 ${peers[family]} /who`]));
    },
    TIMEOUT_MS,
  );

  test.skipIf(process.getuid?.() !== 0)(
    "another user's client over Unix stays that user's (needs root)",
    async () => {
      using place = tempDir();
      await using app = await service(place, "unix");
      const answers = await askedThroughSwap(app, (words) => asUser(NOBODY, words));
      const peer = `uid=${NOBODY.uid} gid=${NOBODY.gid}`;
      expect(answers).toEqual(new Set([`1 ${peer} /who`, `2 ${peer} /who`]));
    },
    TIMEOUT_MS,
  );
});

// haproxy's proxy-protocol.txt. puma takes the line where it comes, and else the sender: a relayed client became 127.0.0.7.
test.skipIf(!Bun.which("puma"))(
  "a client that the PROXY protocol names is never its proxy (needs puma)",
  async () => {
    using place = tempDir();
    const bind = await binds.tcp();
    writeFileSync(`${place.path}/config.ru`, WHO);
    writeFileSync(`${place.path}/puma.rb`, "set_remote_address proxy_protocol: :v1\n");
    const options = ["-k", "-w", "0", "--drain-until-idle", "0", "--kept-connections", "auto"];
    await using hupwatch = await startHupwatch(
      [...options, "--", "puma", "-C", "puma.rb", "-b", `tcp://${bind}`],
      { cwd: place.path },
    );
    const line = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n";
    const answers = await askedThroughSwap({ hupwatch, bind }, (client) => [...client, line]);
    expect(answers).toEqual(new Set(["1 192.0.2.7 /who", "closed"]));
  },
  60_000,
);

test.each(FAMILIES)(
  "%s: every request is executed once",
  async (family) => {
    using place = tempDir();
    await using app = await service(place, family);
    // At a path of their own: hupwatch's own checks ask for /.
    const posts = new Posts(app.bind.replace("[::]", "127.0.0.1"), [0, 1, 5, 20, 50], "/post");
    for (const version of [1, 2, 3]) {
      const executed = () => app.executed().filter((line) => line.startsWith(`${version} `)).length;
      await until(() => executed() > 30, { what: `requests of generation ${version}` });
      if (version === 3) break;
      app.hupwatch.hup();
      await app.hupwatch.until(LOG.gone(version));
    }
    const report = await posts.stop();
    expect(report.lost).toEqual({});
    const ofPosts = app.executed().filter((line) => line.endsWith(" /post"));
    expect(ofPosts).toHaveLength(report.answered);
  },
  TIMEOUT_MS,
);

const EVIL = "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n";
const head = (path: string, more = "") =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${EVIL.length}\r\n${more}\r\n`;

/** Its head is read and not answered, answered early and closed, told to continue. */
const UNFINISHED = [head("/head"), head("/early-close"), head("/continue", "Expect: 100-continue\r\n")];

test.each(["unix", "tcp"] as const)(
  "%s: a body that is itself a request is not executed",
  async (family) => {
    using place = tempDir();
    await using app = await service(place, family);
    const sockets: Socket[] = [];
    for (const request of UNFINISHED) {
      const socket = await connected(app.bind);
      sockets.push(socket);
      // One exchange before it, so that nothing is fresh.
      socket.write("GET /before HTTP/1.1\r\nHost: x\r\n\r\n");
      const before = () => app.executed().filter((line) => line === "1 /before").length;
      await until(() => before() === sockets.length, { what: "the first request" });
      await after(50);
      socket.write(request);
      await until(() => app.executed().includes(`1 ${request.split(" ")[1]}`), { what: "its head" });
    }
    app.hupwatch.hup();
    await app.hupwatch.until(LOG.gone(1), { timeoutMs: 40_000 });
    for (const socket of sockets) if (!socket.destroyed) socket.write(EVIL);
    for (const socket of sockets)
      await until(() => socket.destroyed || socket.readableEnded, { what: "the connection to be closed" });
    const later = await connected(app.bind);
    later.write("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    await until(() => app.executed().includes("2 /later"), { what: "a later request" });
    later.destroy();
    expect(app.executed().filter((line) => line.includes("/evil"))).toEqual([]);
  },
  TIMEOUT_MS,
);

/** Asks once, and says when the connection has ended. */
const IDLE_CLIENT = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"GET /idle HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
while True:
    more = s.recv(65536)
    if not more: break
    if b"/idle" in more: print("answered", flush=True)
print("ended", flush=True)
`;

/** It ends long before a kept connection would be given up, for want of a word of its client's. */
async function hearsTheEnd({ hupwatch, bind }: Service, words: (client: string[]) => string[]) {
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(bind) ?? [];
  const client = Bun.spawn(words([PYTHON, "-c", IDLE_CLIENT, host, port]), {
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    let said = "";
    void (async () => {
      for await (const bytes of client.stdout) said += Buffer.from(bytes).toString();
    })();
    await until(() => said.includes("answered"), { what: "the client's answer" });
    hupwatch.hup();
    await hupwatch.until(LOG.gone(1), { timeoutMs: 40_000 });
    await until(() => said.includes("ended"), { what: "the client to hear the end", timeoutMs: 30_000 });
  } finally {
    client.kill();
    await client.exited;
  }
}

describe("a client whose connection is not kept sees at once that the server has closed", () => {
  test(
    "with auto, a client that waits in silence",
    async () => {
      using place = tempDir();
      await using app = await service(place, "tcp", { mode: "auto" });
      await hearsTheEnd(app, (words) => words);
    },
    TIMEOUT_MS,
  );

  const FAR = ["unshare", "-n", "sleep", "600"];
  const canPart = Bun.which("ip") !== null && Bun.spawnSync(["unshare", "-n", "ip", "link"]).success;
  test.skipIf(!canPart)(
    "a client of another machine (needs root and ip)",
    async () => {
      using place = tempDir();
      const far = Bun.spawn(FAR);
      const within = (words: string[]) => ["nsenter", "-t", `${far.pid}`, "-n", ...words];
      const launcher = `${place.path}/apart`;
      writeFileSync(
        launcher,
        `#!/bin/sh
exec unshare -n sh -ec '
ip link set lo up
ip link add near type veth peer name far netns ${far.pid}
ip address add 192.0.2.1/24 dev near
ip link set near up
nsenter -t ${far.pid} -n ip address add 192.0.2.2/24 dev far
nsenter -t ${far.pid} -n ip link set far up
exec "$0" "$@"' '${LAUNCHER}' "$@"
`,
        { mode: 0o755 },
      );
      try {
        await until(() => isApart(far.pid), { what: "a network of its own" });
        await using app = await service(place, "tcp", { bind: "192.0.2.1:8000", launcher });
        await hearsTheEnd(app, within);
      } finally {
        far.kill();
        await far.exited;
      }
    },
    TIMEOUT_MS,
  );
});

const isApart = (pid: number): boolean =>
  readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net");

async function connected(bind: string): Promise<Socket> {
  const [, port] = /:(\d+)$/.exec(bind) ?? [];
  const socket = bind.startsWith("unix:") ? connect(bind.slice(5)) : connect(Number(port), "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  await new Promise<void>((done) => socket.once("connect", done));
  return socket;
}
