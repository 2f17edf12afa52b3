/**
 * Each system call that hupwatch makes is refused once, with each errno, in each phase of a swap: nobody is lost, hupwatch goes on, and
 * the next swap serves. https://github.com/nodejs/node/issues/1666, https://github.com/rfjakob/earlyoom/issues/328.
 * A sample by default; REFUSED=all takes every errno of each call in each phase, about half an hour.
 */
import { afterAll, expect, test } from "bun:test";
import { freePort } from "../harness/free-port.ts";
import { type Hupwatch, LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { hasStrace, refuseOnce } from "../harness/refused-call.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

/**
 * By strace -c of a start and its swap. Two are left out: close(2), since what it refuses stays open, and wait4(2), by which the runtime itself
 * hears of a child's end, and does not ask again.
 */
const CALLS = [
  ...["openat", "read", "write", "getdents64", "readlink", "statx", "newfstatat", "access", "ftruncate"],
  ...["rename", "link", "unlink", "mkdir", "fchmod", "fcntl", "pipe2", "poll", "inotify_add_watch"],
  ...["socket", "bind", "listen", "connect", "accept4", "getsockopt", "setsockopt", "getsockname"],
  ...["sendto", "recvfrom", "vfork", "pidfd_open", "kill", "waitid"],
];
const ERRNOS = ["EPERM", "ENOENT", "EMFILE", "ENOSPC", "ENOMEM"];
const PHASES = ["serving", "starting", "booting", "warm-up", "draining"] as const;
type Phase = (typeof PHASES)[number];
const IS_ALL = process.env.REFUSED === "all";

interface Row {
  transport: string;
  phase: Phase;
  refused: number;
  "rolled back": number;
  lost: number;
}
const rows: Row[] = [];
afterAll(() => console.table(rows));

/** Each swap takes one call of each phase. */
function plan(transport: "unix" | "tcp"): Record<Phase, [call: string, errno: string]>[] {
  const all = ERRNOS.flatMap((_, shift) =>
    CALLS.map((call, i) => [call, ERRNOS[(i + shift) % 5] ?? ""] as const),
  );
  const chosen = IS_ALL
    ? all
    : all.slice(0, CALLS.length).filter((_, i) => i % 2 === (transport === "unix" ? 0 : 1));
  return chosen.map(
    (_, at) =>
      Object.fromEntries(
        PHASES.map((phase, i) => [phase, chosen[(at + 3 * i) % chosen.length]]),
      ) as unknown as Record<Phase, [string, string]>,
  );
}

/** Waits for a phase's end, or for that of the swap. Where write(2) is what is refused, a line of the log is missing. */
const over = (hupwatch: Hupwatch, { from, to }: Swap, ...ends: RegExp[]) =>
  until(
    () => {
      if (!hupwatch.alive) throw new Error(`hupwatch is over\n${hupwatch.log}`);
      return [...ends, LOG.gone(from), rolledBack(to)].some((line) => line.test(hupwatch.log));
    },
    { what: `${ends}`, context: () => hupwatch.log },
  );

interface Swap {
  from: number;
  to: number;
}

const rolledBack = (generation: number) => new RegExp(`rolled back: generation ${generation} `);

/** Also one that was never started. */
const newestOf = ({ log }: Hupwatch) =>
  Math.max(...[...log.matchAll(/generation (\d+) /g)].map(([, number]) => Number(number)));

test.skipIf(!hasStrace).concurrent.each(["unix", "tcp"] as const)(
  "%s: refused once, in each phase (needs root and strace)",
  async (transport) => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const bind = transport === "tcp" ? `127.0.0.1:${await freePort()}` : `unix:${dir.path}/app.sock`;
    const options = [
      "-k",
      "-w",
      "0.1",
      "--drain-until-idle",
      "0.3s",
      "--ready",
      "http",
      "--handover",
      "systemd",
    ];
    await using hupwatch = await startHupwatch(
      [...options, "-b", bind, "--", process.execPath, `${ROOT}/fixtures/apps/tiny.ts`],
      { env: { APP_BOOT_SECONDS: "0.3" } },
    );
    await using load = await startLoad({ target: bind, rate: 100, afterFirstOk: true });
    const counted = new Map(PHASES.map((phase) => [phase, { refused: 0, rollbacks: 0, lost: 0 }]));
    let from = 1;
    for (const step of plan(transport)) {
      const swap = { from, to: newestOf(hupwatch) + 1 };
      const { started, ready, serves } = LOG;
      const in_ = async (phase: Phase, meanwhile: () => Promise<unknown>) => {
        const [call, errno] = step[phase];
        // The line that is waited for would be missing.
        if (call === "write" && phase === "draining") return void (await meanwhile());
        const before = { failed: load.progress.failed, rollbacks: hupwatch.count(/rolled back:/) };
        const hit = await refuseOnce(hupwatch.pid, call, errno, meanwhile);
        const count = counted.get(phase);
        if (!count) return;
        count.refused += Number(hit);
        count.rollbacks += hupwatch.count(/rolled back:/) - before.rollbacks;
        count.lost += load.progress.failed - before.failed;
        if (load.progress.failed > before.failed)
          throw new Error(
            `${phase}, ${call}, ${errno}: lost ${load.progress.failed - before.failed}\n${hupwatch.log}`,
          );
        expect(`${phase} ${call} ${errno} ${hupwatch.alive}`).toBe(`${phase} ${call} ${errno} true`);
      };
      await in_("serving", async () => {
        const status = Bun.spawn([LAUNCHER, "status", `${hupwatch.pid}`], {
          env: hupwatch.env,
          stdio: ["ignore", "ignore", "ignore"],
        });
        await status.exited;
      });
      await in_("starting", async () => {
        hupwatch.hup();
        await over(hupwatch, swap, started(swap.to), ready(swap.to), serves(swap.to));
      });
      await in_("booting", () => over(hupwatch, swap, ready(swap.to), serves(swap.to)));
      await in_("warm-up", () => over(hupwatch, swap, serves(swap.to)));
      await in_("draining", () => over(hupwatch, swap));
      if (rolledBack(swap.to).test(hupwatch.log)) await hupwatch.until(LOG.gone(swap.to));
      else from = swap.to;
    }
    for (const [phase, { refused, rollbacks, lost }] of counted)
      rows.push({ transport, phase, refused, "rolled back": rollbacks, lost });
    const last = newestOf(hupwatch) + 1;
    hupwatch.hup();
    await hupwatch.until(LOG.serves(last));
    await load.more(20);
    expect(await load.stop()).toMatchObject({ failures: {} });
    expect(hupwatch.log).not.toContain("panic");
  },
  IS_ALL ? 3_600_000 : TURN_TIMEOUT_MS,
);
