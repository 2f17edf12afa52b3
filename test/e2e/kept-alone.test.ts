/**
 * The relay (src/kept/README.md) outlives its hupwatch, and what it has from servers does them no harm: a server whose closed connection has
 * bytes that nobody has read must not spin (epoll(7), Q6; one that relies on close(2) had 156,819 wake-ups in 0.2 s).
 */
import { describe, expect, test } from "bun:test";
import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { Connection } from "../harness/connection.ts";
import { placeIn } from "../harness/contract.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { LOG } from "../harness/log-lines.ts";
import { Posts } from "../harness/posts.ts";
import { openDescriptors, processTree, readProcess } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";
import { isInstalled, SERVERS } from "../setup/servers.ts";

const ADOPT = ["-w", "0", "--drain-until-idle", "0", "--kept-connections", "adopt", "-v"];
const ENOUGH = 30;

const answersOf = (posts: Posts, version: number, more = ENOUGH) => {
  const before = posts.report.versions[`${version}`] ?? 0;
  const what = `answers of version ${version}`;
  return until(() => (posts.report.versions[`${version}`] ?? 0) > before + more, {
    what,
    context: () => JSON.stringify(posts.report),
  });
};

// Over Unix: on a machine that does much else, not every TCP connection is proven before the stop signal, and what is not is closed.
test("hupwatch is killed, relayed connections go on, and the next start's swap moves them", async () => {
  using place = tempDir();
  copyFileSync(`${ROOT}/fixtures/apps/node.mjs`, `${place.path}/node.mjs`);
  const path = `${place.path}/app.sock`;
  const words = [...ADOPT, "-b", `unix:${path}`, "--", "node", "node.mjs", path];
  await using lives = new Lives(words, { cwd: place.path });
  const first = lives.spawn();
  await first.until(LOG.serves(1));
  const posts = new Posts(`unix:${path}`, [0, 0, 1, 5, 20, 50]);
  await answersOf(posts, 1);
  await first.swap(2);
  await first.until(/[1-9]\d* connections of generation 1 live on/);
  await answersOf(posts, 2);
  first.signal("SIGKILL");
  await first.exited;
  await answersOf(posts, 2);
  const second = lives.spawn();
  await second.until(LOG.tookOver(2));
  // A start is a deployment: it swaps.
  await second.until(LOG.gone(2));
  await answersOf(posts, 3);
  const { lost, connections } = await posts.stop();
  expect({ lost, log: lives.log }).toEqual({ lost: {}, log: lives.log });
  // The clients never made another one.
  expect(connections).toBe(6);
}, 180_000);

/** Those that wait for a request of half a minute when they are told to stop. */
const NAMES = [
  ...["uvicorn (newest)", "gunicorn (newest), gthread", "gunicorn (newest), gevent"],
  ...["puma", "Node.js", "Go, net/http"],
];
const ROWS = SERVERS.filter(({ name }) => NAMES.includes(name));

/** How long each of their threads ran or wanted to run, in milliseconds: one that spins does all the time, however busy the machine is. */
function busyMsOf(pids: readonly number[]): Map<string, number> {
  const tasks = pids.flatMap((pid) => tasksOf(pid).map((task) => `/proc/${pid}/task/${task}/schedstat`));
  return new Map(
    tasks.map((path) => {
      const [ran = "0", waited = "0"] = textOf(path).split(" ");
      return [path, (Number(ran) + Number(waited)) / 1e6];
    }),
  );
}

const tasksOf = (pid: number): string[] => {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // it ended meanwhile
  }
};

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** It keeps the old generation alive until everything is over. */
const SLOW_MS = 30_000;
const WINDOW_MS = 1500;
/** A spinning thread has all of it. */
const BUSY_SHARE_MAX = 0.6;
const SLOW = Buffer.from(`GET /slow?ms=${SLOW_MS} HTTP/1.1\r\nHost: x\r\n\r\n`);

describe("a server that drains does not spin for bytes on connections that it has closed", () => {
  for (const row of ROWS) test.skipIf(!isInstalled(row))(row.name, () => spinsNot(row), 120_000);
});

async function spinsNot(row: (typeof ROWS)[number]): Promise<void> {
  using dir = tempDir();
  const place = await placeIn(dir.path, row.transports.at(-1) ?? "unix");
  await row.deploy?.(place, "1");
  await using hupwatch = await startHupwatch(
    ["-k", ...ADOPT, ...(row.options?.(place) ?? []), "--", ...row.command(place)],
    { cwd: place.directory, env: row.env ?? {} },
  );
  const target = place.transport === "unix" ? `unix:${place.at}` : place.at;
  const [, pid] = await hupwatch.until(LOG.started(1));
  const tree = () => processTree(Number(pid)).map((entry) => entry.pid);
  // Before the others: puma did not accept it for half a minute beside four clients, two of which never pause, and what waits unaccepted at the
  // flip goes to the next generation and keeps nothing alive.
  const sockets = () =>
    new Set(
      tree()
        .flatMap(openDescriptors)
        .filter((one) => one.startsWith("socket:")),
    );
  const unasked = sockets();
  const slow = await Connection.open(target, 10_000);
  slow.exchange(SLOW, 60_000).catch(() => {});
  // Not by their count: a connection of hupwatch's own check may go meanwhile.
  const isAccepted = () => !sockets().isSubsetOf(unasked);
  await until(isAccepted, { what: "the slow request to be accepted", everyMs: 50 });
  const old = tree();
  const posts = new Posts(target, [0, 0, 5, 20], "/upload");
  await until(() => posts.report.answered > ENOUGH, { what: "answers" });
  await row.deploy?.(place, "2");
  hupwatch.hup();
  await hupwatch.until(/generation 1: sent SIG/);
  await answersOf(posts, 2);
  const [from, busyBefore] = [performance.now(), busyMsOf(old)];
  await after(WINDOW_MS);
  const tookMs = performance.now() - from;
  // The busiest thread of those that are still there.
  const busyMs = [...busyMsOf(old)].map(([task, ms]) => ms - (busyBefore.get(task) ?? ms));
  const share = Math.max(0, ...busyMs) / tookMs;
  const isAlive = old.some((one) => readProcess(one)?.command.length);
  const { answered } = await posts.stop();
  const { log } = hupwatch;
  expect({ isAlive, log }).toEqual({ isAlive: true, log });
  expect(answered).toBeGreaterThan(ENOUGH);
  expect(share).toBeLessThan(BUSY_SHARE_MAX);
}
