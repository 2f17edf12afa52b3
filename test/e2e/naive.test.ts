/**
 * What people do without hupwatch: start the new copy on the same Unix path, then TERM the old one. Both gunicorns
 * unlink the path, the new one before it binds, the old one when it stops. This loses requests, always; that it is
 * seen here, by class, is what a "0" of the other end-to-end tests rests on.
 */
import { expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { startLoad } from "../harness/load.ts";
import { killEntry, processTree } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS, ROOT } from "../setup/places.ts";

test("the naive swap of real gunicorn drops requests, and the client tells how", async () => {
  using dir = tempDir();
  copyFileSync(`${ROOT}/fixtures/apps/wsgi.py`, `${dir.path}/wsgi.py`);
  const start = (version: string) => naiveGunicorn(dir.path, version);
  await using old = start("1");
  await using load = await startLoad({ target: `unix:${dir.path}/s`, afterFirstOk: true });
  await load.more(100);
  await using fresh = start("2");
  // The new one binds the path anew, so the client meets it as soon as it is up; only then does the old one stop.
  await load.version("2");
  old.process.kill("SIGTERM");
  await old.process.exited;
  const failedBefore = load.progress.failed;
  // More than were under way at its end.
  await until(() => load.progress.failed > failedBefore + 20, { what: "drops after the old one's stop" });
  const report = await load.stop();

  // The old one took the new one's path with it: from then on nobody is found.
  expect(report.failures["connect ENOENT"]).toBeGreaterThan(0);
  expect(report.ok + report.failed).toBe(report.sent);
  expect(Object.keys(report.versions)).toEqual(["1", "2"]);
  expect(fresh.process.exitCode).toBeNull();
});

function naiveGunicorn(cwd: string, version: string) {
  const command = [GUNICORNS.debian, "wsgi:application", "--bind", "unix:s", "--workers", "2"];
  const process = Bun.spawn(command, {
    cwd,
    env: { ...globalThis.process.env, APP_VERSION: version },
    stdio: ["ignore", "ignore", "ignore"],
  });
  const end = async () => {
    // Not by TERM: the master fails over its missing socket file and leaves its workers behind (gunicorn 20.1).
    for (const entry of processTree(process.pid)) killEntry(entry, "SIGKILL");
    await process.exited;
  };
  return { process, [Symbol.asyncDispose]: end };
}
