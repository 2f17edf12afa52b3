/**
 * An upgrade of hupwatch is a takeover: a service that 0.1.0, the first published version, has left or was killed away from is taken over
 * by this one, and drops nothing. 0.1.0 is taken out of the history.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const PUBLISHED = "9abb3bc";

const old = tempDir();
afterAll(() => old[Symbol.dispose]());

/** False where there is no history: an unpacked archive, a shallow clone. */
const isThere =
  Bun.spawnSync(
    ["sh", "-c", `git archive ${PUBLISHED} src package.json tsconfig.json | tar -x -C "${old.path}"`],
    { cwd: ROOT, stderr: "ignore" },
  ).success && (await Bun.file(`${old.path}/src/launcher.sh`).exists());
if (isThere) symlinkSync(`${ROOT}/node_modules`, `${old.path}/node_modules`);

describe.skipIf(!isThere)(`0.1.0 (${PUBLISHED} of the history)`, () => {
  test.concurrent.each([
    ["unix", "SIGKILL"],
    ["unix", "SIGTERM"],
    ["tcp", "SIGKILL"],
    ["tcp", "SIGTERM"],
  ] as const)(
    "%s, %s: this version takes over, and drops nothing",
    async (transport, end) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = transport === "tcp" ? `127.0.0.1:${await freePort()}` : `unix:${dir.path}/app.sock`;
      const options = ["-w", "0", "--ready", "http", "--handover", "systemd", "-b", bind];
      const words = [...options, "--", process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
      const start = { cwd: dir.path, env: { XDG_RUNTIME_DIR: dir.path } };
      await using first = await startHupwatch(words, { ...start, launcher: `${old.path}/src/launcher.sh` });
      await using load = await startLoad({ target: bind, rate: 300, afterFirstOk: true });
      await first.swap(2);
      first.signal(end);
      await first.exited;
      await using second = spawnHupwatch(words, start);
      await second.until(LOG.servesAny);
      expect(second.log).toMatch(LOG.tookOver(2));
      await until(() => first.tree().every(({ state }) => state === "Z"), {
        what: "the first life to be gone",
      });
      await second.swap(4);
      await load.more(50);
      expect(await load.stop()).toMatchObject({ failures: {} });
    },
    TURN_TIMEOUT_MS,
  );
});
