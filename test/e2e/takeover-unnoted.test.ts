/**
 * Survivors of which no state file tells: "run directory ... removed by logind", PrivateTmp=, another XDG_RUNTIME_DIR, a read-only root.
 * https://github.com/gmuxapp/gmux/pull/359, https://github.com/benoitc/gunicorn/issues/1524, https://github.com/benoitc/gunicorn/issues/1849
 */
import { expect, test } from "bun:test";
import { freePort } from "../harness/free-port.ts";
import { spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

/** Each life of the harness has an XDG_RUNTIME_DIR of its own. */
const LIVES = [
  ["unix", "SIGKILL", 0],
  ["unix", "SIGTERM", 1],
  ["tcp", "SIGKILL", 0],
  ["tcp", "SIGTERM", 1],
  ["tcp", "SIGKILL", 2],
] as const;

test.concurrent.each(LIVES)(
  "%s, %s, after %d swaps: the next start finds it, and drops nothing",
  async (transport, end, swaps) => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const bind = transport === "tcp" ? `127.0.0.1:${await freePort()}` : `unix:${dir.path}/app.sock`;
    const options = ["-w", "0", "--ready", "http", "--handover", "systemd", "-b", bind];
    const words = [...options, "--", process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
    await using first = await startHupwatch(words, { cwd: dir.path });
    await using load = await startLoad({ target: bind, rate: 300, afterFirstOk: true });
    for (let swap = 0; swap < swaps; swap++) await first.swap(swap + 2);
    first.signal(end);
    await first.exited;
    await using second = spawnHupwatch(words, { cwd: dir.path });
    await second.until(LOG.servesAny);
    expect(second.log).toMatch(LOG.tookOver(swaps + 1));
    await until(() => first.tree().every(({ state }) => state === "Z"), {
      what: "the first life to be gone",
    });
    await second.swap(swaps + 3);
    await load.more(50);
    expect(await load.stop()).toMatchObject({ failures: {} });
  },
  TURN_TIMEOUT_MS,
);
