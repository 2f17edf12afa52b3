/**
 * What hupwatch can do without is lacking: it starts, swaps and takes over under load all the same, and says once what that costs.
 * https://github.com/nodejs/node/issues/1666, https://github.com/microsoft/vscode/issues/2223 (inotify is used up);
 * https://github.com/rfjakob/earlyoom/issues/328 ("SIGSYS for one new call"), https://github.com/systemd/systemd/issues/18997 (ProcSubset=pid).
 */
import { afterAll, expect, test } from "bun:test";
import { freePort } from "../harness/free-port.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { ROOT } from "../setup/places.ts";

const PIDFD_GETFD = 438;

/** What is lacking, and what is said of it; nothing where it is made up for. */
const LACKING: [lacks: string, transport: "unix" | "tcp", said: RegExp | undefined][] = [
  ["inotify", "unix", /watching .* is not possible \(EMFILE.*only the next swap puts it back/g],
  ["watches", "unix", /watching .* is not possible \(ENOSPC/g],
  ["proc", "unix", undefined],
  ["proc", "tcp", undefined],
  ["netlink:EACCES", "unix", undefined],
  ["netlink:EACCES", "tcp", undefined],
  [`${PIDFD_GETFD}:EPERM`, "unix", undefined],
  [`${PIDFD_GETFD}:kill`, "unix", /duplicating .* is not possible \(a filter/g],
  [`${PIDFD_GETFD}:kill`, "tcp", /duplicating .* is not possible \(a filter/g],
];

const place = tempDir();
afterAll(() => place[Symbol.dispose]());

test.concurrent.each(LACKING)(
  "%s (%s): start, swap, kill -9 and takeover without a drop",
  async (lacks, transport, said) => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const bind = transport === "tcp" ? `127.0.0.1:${await freePort()}` : `unix:${dir.path}/app.sock`;
    await using lives = new Lives(
      [
        "-w",
        "0",
        "--ready",
        "http",
        "--handover",
        "systemd",
        "-b",
        bind,
        "--",
        process.execPath,
        `${ROOT}/fixtures/apps/tiny.ts`,
      ],
      {
        cwd: place.path,
        launcher: `${ROOT}/fixtures/launchers/lacking.py`,
        env: { LACKS: lacks },
      },
    );
    const first = await lives.start();
    await using load = await startLoad({ target: bind, rate: 300, afterFirstOk: true });
    await first.swap(2);
    first.signal("SIGKILL");
    await first.exited;
    const second = await lives.start();
    await second.swap(4);
    await load.more(50);
    expect(await load.stop()).toMatchObject({ failures: {} });
    expect(second.log).toMatch(LOG.tookOver(2));
    const warnings = second.log.match(/warn: .*is not possible.*/g) ?? [];
    // The public path and the run directory have a watch each; of each it is said once.
    const aids = warnings.map((line) => /warn: (.*) is not possible/.exec(line)?.[1]);
    expect(new Set(aids).size).toBe(aids.length);
    expect(aids.length > 0).toBe(said !== undefined);
    if (said) expect(warnings.join("\n")).toMatch(said);
    expect(lives.log).not.toContain("has a bug");
    second.signal("SIGQUIT");
    expect(await second.exited).toBe(128 + 9);
  },
  TURN_TIMEOUT_MS,
);
