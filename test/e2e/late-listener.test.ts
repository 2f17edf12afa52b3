/**
 * What listens only long after its start, or never. Until it was seen to accept nothing is called proven, and no generation is replaced by one
 * that does not listen where it does.
 */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { StatusAnswer } from "../../src/control/protocol.ts";
import { cli } from "../harness/cli.ts";
import { freePort } from "../harness/free-port.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { NotifyReceiver } from "../harness/notify-receiver.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";

/** The second word: a fifo, which is read first. */
const SERVES = `
if (process.argv[3]) require("fs").readFileSync(process.argv[3]);
require("http").createServer((request, response) => {
  response.setHeader("X-Version", process.env.HUPWATCH_GENERATION);
  response.setHeader("X-Request-Id", request.headers["x-request-id"] ?? "");
  response.end("hello");
}).listen(process.argv[2], "127.0.0.1");
`;

const LATER = {
  rest: ":",
  rested: "sleep 1.5; echo rested >&2",
  busy: "while [ ! -e now ]; do :; done; go=",
};

/**
 * Behind a shell that stays. The first one rests until it is told to go on, and then listens; so do the later ones, which say when they have rested
 * longer than a first one has to, or they are busy until then.
 */
async function waitingServer(
  dir: string,
  port: number,
  {
    later = "rest",
    warmup = "0.2",
    env = {},
  }: { later?: keyof typeof LATER; warmup?: string; env?: Record<string, string> } = {},
): Promise<Hupwatch> {
  for (const generation of [1, 2]) spawnSync("mkfifo", [`${dir}/go${generation}`]);
  writeFileSync(`${dir}/server.js`, SERVES);
  const begins = `go=go$HUPWATCH_GENERATION; [ $go = go1 ] || { ${LATER[later]}; }`;
  const words = ["sh", "-c", `${begins}; node server.js ${port} $go; exit $?`];
  return await startHupwatch(["-k", "-w", warmup, "--name", "late", "--", ...words], { cwd: dir, env });
}

const statusOf = ({ messages }: NotifyReceiver): string | undefined =>
  messages.flatMap((message) => /^STATUS=(.*)$/m.exec(message)?.[1] ?? []).at(-1);

const goOn = (dir: string, generation: number): void => {
  // A child's, since the open of a fifo waits for the other end.
  expect(spawnSync("sh", ["-c", `echo go > ${dir}/go${generation}`], { timeout: 30_000 }).status).toBe(0);
};

async function provenOf(hupwatch: Hupwatch): Promise<(boolean | undefined)[]> {
  // One that is too busy to answer in five seconds is asked again.
  const answer = async () => {
    const { stdout, exitCode } = await cli(["status", "late", "--json"], hupwatch as never);
    return exitCode === 0 && (JSON.parse(stdout) as StatusAnswer[])[0];
  };
  const { generations } = await until(answer, { what: "an answer", context: () => hupwatch.log });
  return generations.map(({ proven }) => proven);
}

const reload = (hupwatch: Hupwatch) => cli(["reload", "late"], hupwatch as never);

// `sh -c 'sleep 3; exec python3 -m http.server 8000'`: ready at rest after a second, and `reload` said "serves", exit 0, of one that served nobody.
test("a first generation that listens late is not proven before, and is afterwards; its successor is waited for", async () => {
  using dir = tempDir();
  const port = await freePort();
  using systemd = new NotifyReceiver(`${dir.path}/notify`);
  await using hupwatch = await waitingServer(dir.path, port, { env: { NOTIFY_SOCKET: systemd.path } });
  expect(hupwatch.log).toMatch(/generation 1 serves \(no proof: .*not seen to listen anywhere/);
  expect(await provenOf(hupwatch)).toEqual([false]);
  await systemd.until(
    () => statusOf(systemd)?.startsWith("generation 1 serves (no proof: "),
    "a status that says so",
  );

  goOn(dir.path, 1);
  await hupwatch.until(new RegExp(`generation 1 accepts at 127.0.0.1:${port}, .*: proven`));
  expect(await provenOf(hupwatch)).toEqual([true]);
  await systemd.until(() => statusOf(systemd) === "generation 1 serves", "a status without doubt");

  await using load = await startLoad({ target: `127.0.0.1:${port}`, rate: 100, afterFirstOk: true });
  const reloaded = reload(hupwatch);
  await hupwatch.until(LOG.started(2));
  // Longer than one that listens nowhere has to rest.
  await load.more(150);
  expect(hupwatch.log).not.toMatch(LOG.ready(2));
  goOn(dir.path, 2);
  expect(await reloaded).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("generation 2 serves"),
  });
  await load.version("2");
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
}, 120_000);

test("the successor of a generation that never listened is unproven, and reload says so", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using hupwatch = await waitingServer(dir.path, port);
  const said = await reload(hupwatch);
  expect(said.stderr).toContain("generation 2 took over, unproven: it has come to rest and listens nowhere");
  expect(said.stderr).toContain("To fix: ");
  expect(said.exitCode).toBe(3);
  goOn(dir.path, 2);
  await hupwatch.until(new RegExp(`generation 2 accepts at 127.0.0.1:${port}, .*: proven`));
}, 120_000);

// A reload at 2.2 s of `sh -c 'sleep 3; exec server'` retired the first one, and the service began 2.2 s later than without it.
test("one that begins to listen while its successor rests is not replaced before that one listens, too", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using hupwatch = await waitingServer(dir.path, port, { later: "rested" });
  const reloaded = reload(hupwatch);
  await hupwatch.until(/^rested$/m);
  goOn(dir.path, 1);
  await hupwatch.until(new RegExp(`generation 1 listens at 127.0.0.1:${port}: held from now on`));
  await using load = await startLoad({ target: `127.0.0.1:${port}`, rate: 100, afterFirstOk: true });
  await load.version("1");
  goOn(dir.path, 2);
  expect(await reloaded).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("generation 2 serves"),
  });
  await load.version("2");
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
}, 120_000);

// Both would bind: the second one was refused (EADDRINUSE), or took the path away.
test("a generation that boots when the serving one begins to listen is given that address, and has to listen there", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using hupwatch = await waitingServer(dir.path, port, { later: "busy" });
  const reloaded = reload(hupwatch);
  await hupwatch.until(LOG.started(2));
  goOn(dir.path, 1);
  await hupwatch.until(new RegExp(`generation 1 listens at 127.0.0.1:${port}: held from now on`));
  await using load = await startLoad({ target: `127.0.0.1:${port}`, rate: 100, afterFirstOk: true });
  writeFileSync(`${dir.path}/now`, "");
  expect(await reloaded).toMatchObject({ exitCode: 0 });
  await load.version("2");
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
}, 120_000);

test("if the old generation begins to listen after the flip, and the new one does not, the flip is taken back", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using hupwatch = await waitingServer(dir.path, port, { warmup: "60" });
  const reloaded = reload(hupwatch);
  await hupwatch.until(LOG.ready(2));
  goOn(dir.path, 1);
  const { exitCode, stderr } = await reloaded;
  expect(stderr).toContain(
    `generation 2 does not listen at 127.0.0.1:${port}, where generation 1 has just begun to`,
  );
  expect(exitCode).toBe(1);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).headers.get("x-version")).toBe("1");
}, 120_000);

test("a worker: reload says that it is unproven, unless a check of the user passes", async () => {
  using dir = tempDir();
  const worker = ["sh", "-c", "echo at work >&2; exec sleep 1000"];
  const words = ["-k", "-w", "0", "--name", "late"];
  {
    await using hupwatch = await startHupwatch([...words, "--", ...worker], { cwd: dir.path });
    const { exitCode, stdout } = await cli(["reload", "late", "--json"], hupwatch as never);
    expect(JSON.parse(stdout)).toMatchObject({ outcome: "unproven", doubt: "nowhere", generation: 2 });
    expect(exitCode).toBe(3);
  }
  for (const asked of [
    ["--ready", "line:at work"],
    ["--handover", "none"],
  ]) {
    await using hupwatch = await startHupwatch([...words, ...asked, "--", ...worker], { cwd: dir.path });
    expect(await reload(hupwatch)).toMatchObject({ exitCode: 0 });
  }
}, 120_000);

const WITH_NAMES = `
import http.server, os, random, socket, threading
def accept(s):
    while True: s.accept()[0].close()
for name in ["lasting-" + os.environ["MARK"], "random-%d" % random.randrange(10**12)]:
    s = socket.socket(socket.AF_UNIX)
    s.bind("\\0" + name)
    s.listen(8)
    threading.Thread(target=accept, args=(s,), daemon=True).start()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
`;

// Each swap would wait for a name that is never made again, and call a proven service unproven, since names are shared.
test("an abstract name that a library makes up is not waited for, and takes no proof away", async () => {
  using dir = tempDir();
  const port = await freePort();
  const words = ["-k", "-w", "0", "--name", "late", "--", PYTHON, "-c", WITH_NAMES];
  await using hupwatch = await startHupwatch(words, {
    cwd: dir.path,
    env: { MARK: crypto.randomUUID(), PORT: `${port}` },
  });
  await hupwatch.until(new RegExp(`127.0.0.1:${port}: held from now on`));
  await until(() => hupwatch.count(/unix:@\S+: held from now on/) === 2, {
    what: "both names to be held",
    context: () => hupwatch.log,
  });
  expect(await reload(hupwatch)).toMatchObject({ exitCode: 0 });
  expect(await provenOf(hupwatch)).toContain(true);
  await hupwatch.until(LOG.gone(1));
  expect(hupwatch.log).not.toContain(`does not listen on 127.0.0.1:${port}`);
}, 120_000);
