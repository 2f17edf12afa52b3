/** Retired generations finish what they have, several at once, in nobody's way; and nothing of them is left (I6). */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Client } from "../harness/client.ts";
import { always, child } from "../harness/commands.ts";
import { freePort } from "../harness/free-port.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { readProcess } from "../harness/processes.ts";
import { record } from "../harness/table.ts";
import type { LoadReport } from "../harness/tally.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";

const RATE = 200;

const pidOf = (hupwatch: Hupwatch, generation: number) =>
  Number(LOG.started(generation).exec(hupwatch.log)?.[1]);

const isAlive = (pid: number) => ![undefined, "Z"].includes(readProcess(pid)?.state);

describe("several generations drain at once", () => {
  test.concurrent.each(["unix", "tcp"])(
    "each finishes its long requests, and no swap waits for an older drain (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = transport === "unix" ? `unix:${dir.path}/s` : `127.0.0.1:${await freePort()}`;
      const go = `${dir.path}/go`;
      const command = always(child("holds.ts", go));
      const options = ["-k", "-w", "0", "--stop-signal", "TERM/10m/KILL", "-b", bind];
      await using hupwatch = await startHupwatch([...options, "--", ...command]);
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      const long: Promise<LoadReport>[] = [];
      for (const next of [2, 3, 4]) {
        const slow = new Client({ target: bind, path: "/held", concurrency: 1, timeoutMs: 300_000 });
        slow.start();
        const holding = `holding (pid: ${pidOf(hupwatch, next - 1)})`;
        await until(() => hupwatch.output.includes(holding), { what: "the long request" });
        // That one, and no other.
        long.push(slow.stop());
        hupwatch.hup();
        await hupwatch.until(LOG.retired(next - 1));
      }
      const retired = [1, 2, 3].map((generation) => pidOf(hupwatch, generation));
      expect(retired.filter(isAlive)).toEqual(retired);
      expect(hupwatch.count(LOG.goneAny)).toBe(0);
      writeFileSync(go, "");
      for (const generation of [1, 2, 3]) await hupwatch.until(LOG.gone(generation));
      const report = await load.stop();
      record(`three generations drain at once (${transport})`, report, hupwatch.log, /generation 4 serves/);
      expect(report).toMatchObject({ failures: {}, wentBack: 0 });
      for (const slow of long) expect(await slow).toMatchObject({ ok: 1, failures: {} });
      expect(hupwatch.log).not.toContain("SIGKILL");
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent(
    "but no more than --max-draining: the oldest is hurried",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const options = ["-k", "-w", "0", "--max-draining", "2", "-b", `unix:${dir.path}/s`];
      await using hupwatch = await startHupwatch([
        ...options,
        "--",
        ...always(child("slow-drain.ts", 60_000)),
      ]);
      for (const next of [2, 3, 4]) {
        hupwatch.hup();
        await hupwatch.until(LOG.retired(next - 1));
      }
      await hupwatch.until(LOG.gone(1));
      // https://github.com/django/channels/issues/1460: the option that a client was cut by is named.
      expect(hupwatch.log).toMatch(
        /generation 1 is killed .*--max-draining 2.*\n.*generation 1: sent SIGKILL/,
      );
      expect([2, 3, 4].map((generation) => isAlive(pidOf(hupwatch, generation)))).toEqual([true, true, true]);
      expect(hupwatch.count(LOG.goneAny)).toBe(1);
    },
    TURN_TIMEOUT_MS,
  );
});

describe("I6: the stop sequence ends with the whole tree:", () => {
  test.concurrent.each([
    // So long that it runs, and says what it has heard, on a machine that does much else, too.
    ["TERM/2s/KILL", ["TERM"]],
    ["USR1/2s/TERM/2s/KILL", ["USR1", "TERM"]],
    ["USR1/2s/TERM/2s", ["USR1", "TERM"]],
  ] as const)(
    "%s",
    async (sequence, heard) => {
      using _turn = await takeTurn();
      const options = ["-k", "-v", "-w", "0", "--stop-signal", sequence];
      await using hupwatch = await startHupwatch([...options, "--", ...always(child("stubborn.sh"))]);
      const [, left] = await hupwatch.until(/left behind \(pid: (\d+)\)/, { stream: "output" });
      await hupwatch.until(/ready \(pid/, { stream: "output" });
      await hupwatch.swap(2);
      for (const pid of [Number(left), pidOf(hupwatch, 1)]) expect(isAlive(pid)).toBe(false);
      expect([...(hupwatch.output.match(/got \w+/g) ?? [])]).toEqual(heard.map((name) => `got ${name}`));
      const sent = [...hupwatch.log.matchAll(/generation 1: sent SIG(\w+)/g)].map(([, name]) => name);
      expect(sent).toEqual([...heard, "KILL"]);
      await until(() => isAlive(pidOf(hupwatch, 2)), { what: "generation 2" });
    },
    TURN_TIMEOUT_MS,
  );
});
