/** The table of signals, in every phase: what hupwatch does, how it ends, and that nothing outlives what was to end. */
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cli } from "../harness/cli.ts";
import { always, child, firstThen, TINY } from "../harness/commands.ts";
import {
  type Hupwatch,
  LAUNCHER,
  LONGER_THAN_AN_ECHO_MS,
  spawnHupwatch,
  startHupwatch,
} from "../harness/hupwatch.ts";
import { KEEPER } from "../harness/lives.ts";
import { type Load, startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { environmentOf, killEntry, processTree, readProcess } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";

const RATE = 200;

interface Phase {
  options?: string[];
  command: string[];
  /** Brings a hupwatch that was just spawned there. */
  reach(hupwatch: Hupwatch): Promise<unknown>;
  /** What serves then, and so is left running by TERM without -k. */
  serving: number | undefined;
}

const swapping = async (hupwatch: Hupwatch, line: RegExp) => {
  await hupwatch.until(LOG.serves(1));
  hupwatch.hup();
  await hupwatch.until(line);
};

/** Boots for as long as the test wants. */
const slowBoot = `sh -c "until [ -e $GO ]; do sleep 0.05; done; exec ${TINY}"`;
/** Of which the second one never accepts, and takes its time to go. */
const hopelessOnce = `sh -c "[ $HUPWATCH_GENERATION = 2 ] || exec ${TINY}; trap : TERM; echo stands >&2; while :; do sleep 0.05; done"`;

const PHASES: Record<string, Phase> = {
  starting: {
    command: always(slowBoot),
    reach: (hupwatch) => hupwatch.until(LOG.started(1)),
    serving: undefined,
  },
  serving: { command: always(TINY), reach: (hupwatch) => hupwatch.until(LOG.serves(1)), serving: 1 },
  booting: {
    command: firstThen(TINY, slowBoot),
    reach: (hupwatch) => swapping(hupwatch, LOG.started(2)),
    serving: 1,
  },
  warming: {
    options: ["-w", "2"],
    command: always(TINY),
    reach: (hupwatch) => swapping(hupwatch, LOG.ready(2)),
    serving: 2,
  },
  "rolling-back": {
    options: ["--stop-signal", "TERM/1s/KILL"],
    command: firstThen(child("print-signals.ts"), hopelessOnce),
    reach: async (hupwatch) => {
      await swapping(hupwatch, /^stands$/m);
      void cli(["rollback", `${hupwatch.pid}`], hupwatch as never);
      await hupwatch.until(LOG.rolledBack);
    },
    serving: 1,
  },
  draining: {
    options: ["-w", "0"],
    command: firstThen(child("slow-drain.ts", 1500), TINY),
    reach: (hupwatch) => swapping(hupwatch, LOG.retired(1)),
    serving: 2,
  },
  respawning: {
    options: ["--on-crash", "respawn"],
    command: firstThen(child("print-signals.ts"), slowBoot),
    reach: async (hupwatch) => {
      await hupwatch.until(LOG.serves(1));
      process.kill(Number(LOG.started(1).exec(hupwatch.log)?.[1]), "SIGKILL");
      await hupwatch.until(LOG.started(2));
    },
    serving: undefined,
  },
};

const SIGNALS = ["SIGTERM", "SIGINT", "SIGQUIT"] as const;
const names = Object.keys(PHASES);
const ending = names.flatMap((phase) =>
  SIGNALS.flatMap((signal) =>
    // INT is TERM by another name: once more per phase will do.
    (signal === "SIGINT" ? [false] : [true, false]).map((kill) => ({
      phase,
      signal,
      kill,
      what: `${signal} while ${phase}${kill ? ", -k" : ""}`,
    })),
  ),
);

/** The load has begun before a phase that lasts for a time only; where nothing serves there is none. */
async function reach(
  name: string,
  directory: string,
  go: string,
  ...more: string[]
): Promise<[Hupwatch, Phase, Load | undefined]> {
  const phase = PHASES[name];
  if (!phase) throw new Error(`no phase ${name}`);
  const options = ["-w", "0.2", "-b", `unix:${directory}/s`, ...(phase.options ?? []), ...more];
  const hupwatch = spawnHupwatch([...options, "--", ...phase.command], { env: { GO: go } });
  let load: Load | undefined;
  try {
    if (phase.serving !== undefined) {
      await hupwatch.until(LOG.serves(1));
      load = await startLoad({ target: `unix:${directory}/s`, rate: RATE });
    }
    await phase.reach(hupwatch);
    return [hupwatch, phase, load];
  } catch (error) {
    await load?.[Symbol.asyncDispose]();
    await hupwatch[Symbol.asyncDispose]();
    throw error;
  }
}

const generationOf = ({ pid }: { pid: number }) =>
  environmentOf(pid)?.match(/HUPWATCH_GENERATION=(\d+)/)?.[1];

describe("I4: a HUP leads to a later generation that serves, or to a failure that is said", () => {
  test.concurrent.each(names)(
    "while %s",
    async (name) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      using gate = tempDir();
      const go = `${gate.path}/go`;
      const [started, phase, begun] = await reach(name, dir.path, go, "-k");
      await using hupwatch = started;
      await using _begun = begun;
      const before = hupwatch.log.length;
      const next =
        1 + Math.max(...[...hupwatch.log.matchAll(/generation (\d+) started/g)].map(([, n]) => Number(n)));
      hupwatch.hup();
      writeFileSync(go, "");
      await until(
        () =>
          new RegExp(`generation ${next} serves|rolled back: generation ${next} `).test(
            hupwatch.log.slice(before),
          ),
        {
          what: `generation ${next} to serve or to be rolled back`,
          context: () => hupwatch.log,
        },
      );
      expect(hupwatch.count(LOG.started(next + 1))).toBe(0);
      const load = begun ?? (await startLoad({ target: `unix:${dir.path}/s`, rate: RATE }));
      await load.more(20);
      const report = await load.stop();
      // What was killed for this test had nothing to answer yet.
      expect(phase.serving === undefined ? {} : report.failures).toEqual({});
    },
    TURN_TIMEOUT_MS,
  );
});

describe("TERM, INT and QUIT end what they are to end, and only that:", () => {
  test.concurrent.each(ending)(
    "$what",
    async ({ phase: name, signal, kill }) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const [started, phase, load] = await reach(name, dir.path, "/nowhere/go", ...(kill ? ["-k"] : []));
      await using hupwatch = started;
      await using _load = load;
      const leaves = !kill && signal !== "SIGQUIT" && phase.serving !== undefined;
      hupwatch.signal(signal);
      const code = await hupwatch.exited;
      if (!leaves) {
        expect([0, ...(signal === "SIGQUIT" ? [137] : [])]).toContain(code);
        await hupwatch.assertTreeGone();
        expect(readdirSync(dir.path)).toEqual([]);
        return;
      }
      expect(code).toBe(0);
      expect(hupwatch.log).toContain(`left generation ${phase.serving} running`);
      const others = () =>
        hupwatch
          .tree()
          .filter((entry) => entry.state !== "Z" && !KEEPER.test(entry.command))
          .filter((entry) => generationOf(entry) !== `${phase.serving}`);
      await until(() => others().length === 0, {
        what: "only the serving generation to live",
        context: () =>
          `${others()
            .map((entry) => `${entry.pid} ${entry.command}`)
            .join("\n")}\n${hupwatch.log}`,
      });
      await load?.more(50);
      expect((await load?.stop())?.failures).toEqual({});
    },
    TURN_TIMEOUT_MS,
  );
});

test.concurrent(
  "a second TERM hurries a stop that takes its time",
  async () => {
    using _turn = await takeTurn();
    const command = always(child("ignores-term.ts"));
    await using hupwatch = await startHupwatch(["-k", "--stop-signal", "TERM/60s/KILL", "--", ...command]);
    await hupwatch.until(/ready \(pid/, { stream: "output" });
    hupwatch.signal("SIGTERM");
    await hupwatch.until(/ignored TERM/, { stream: "output" });
    await Bun.sleep(LONGER_THAN_AN_ECHO_MS);
    hupwatch.signal("SIGTERM");
    await hupwatch.exited;
    expect(hupwatch.log).toContain("SIGKILL");
    await hupwatch.assertTreeGone();
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "STOP and CONT of the command are no death, also with respawn",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const options = ["-k", "-w", "0.2", "--on-crash", "respawn", "-b", `unix:${dir.path}/s`];
    await using hupwatch = await startHupwatch([...options, "--", ...always(TINY)]);
    await using load = await startLoad({ target: `unix:${dir.path}/s`, rate: RATE, afterFirstOk: true });
    const pid = Number(LOG.started(1).exec(hupwatch.log)?.[1]);
    for (const stop of ["SIGSTOP", "SIGTSTP"] as const) {
      process.kill(pid, stop);
      // TSTP is ignored by an orphaned process group, which a session of its own is.
      if (stop === "SIGSTOP") await until(() => readProcess(pid)?.state === "T", { what: "the stop" });
      await load.waiting(stop === "SIGSTOP" ? 50 : 0);
      process.kill(pid, "SIGCONT");
      await load.more(100);
    }
    await hupwatch.swap(2);
    expect(hupwatch.count(LOG.startedAny)).toBe(2);
    expect((await load.stop()).failures).toEqual({});
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "signals that are passed on in a swap reach the old generation at once, and the new one when it has taken its place",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const gate = `${dir.path}/gate`;
    writeFileSync(gate, "");
    const options = ["-k", "-w", "8", "--ready", `exec:[ -e '${gate}' ]`];
    await using hupwatch = await startHupwatch([...options, "--", ...always(child("print-signals.ts"))]);
    rmSync(gate);
    const heard = (signal: string) =>
      [...hupwatch.output.matchAll(new RegExp(`signal ${signal} \\(pid: (\\d+)\\)`, "g"))].map((m) => m[1]);
    const isHeard = (signal: string, pids: (string | undefined)[]) =>
      until(() => `${heard(signal)}` === `${pids}`, {
        what: `${signal} to be heard by ${pids}`,
        context: () => hupwatch.output,
      });
    hupwatch.hup();
    await hupwatch.until(LOG.started(2));
    const [first, second] = [1, 2].map((gen) => LOG.started(gen).exec(hupwatch.log)?.[1]);
    await until(() => hupwatch.output.match(/ready \(pid/g)?.length === 2, { what: "both to stand" });
    hupwatch.signal("SIGUSR1");
    await until(() => heard("USR1")[0] === first, {
      what: "USR1 to be heard",
      context: () => hupwatch.output,
    });
    writeFileSync(gate, "");
    await hupwatch.until(LOG.ready(2));
    hupwatch.signal("SIGUSR2");
    await until(() => heard("USR2")[0] === first, {
      what: "USR2 to be heard",
      context: () => hupwatch.output,
    });
    await hupwatch.until(LOG.gone(1));
    for (const signal of ["USR1", "USR2"]) await isHeard(signal, [first, second]);
    hupwatch.signal("SIGWINCH");
    await isHeard("WINCH", [second]);
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "I3: a server that would end or stop by a signal is not sent it, and that is said",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const server = always(child("slow-drain.ts", 0));
    await using hupwatch = await startHupwatch([
      "-k",
      "-w",
      "0",
      "--bind",
      `unix:${dir.path}/s`,
      "--",
      ...server,
    ]);
    await using load = await startLoad({ target: `unix:${dir.path}/s`, rate: RATE });
    for (const signal of ["SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"] as const) {
      hupwatch.signal(signal);
      await hupwatch.until(new RegExp(`${signal} ignored: process \\d+ of generation 1 has no handler`));
    }
    hupwatch.signal("SIGWINCH");
    await hupwatch.swap(2);
    await load.more(20);
    expect(await load.stop()).toMatchObject({ failures: {} });
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "under nohup a HUP swaps nothing, and that is said",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const launcher = `${dir.path}/nohup`;
    writeFileSync(launcher, `#!/bin/sh\ntrap '' HUP\nexec '${LAUNCHER}' "$@"\n`);
    chmodSync(launcher, 0o755);
    const command = ["-k", "-w", "0", "-v", "--", ...always(child("print-signals.ts"))];
    await using hupwatch = await startHupwatch(command, { launcher });
    await hupwatch.until(/ready \(pid/, { stream: "output" });
    expect(hupwatch.log).toMatch(/SIGHUP was ignored when hupwatch started/);
    hupwatch.hup();
    // Signals of one sender come in order: when this one has arrived, the HUP has, too.
    hupwatch.signal("SIGUSR1");
    await hupwatch.until(/signal USR1/, { stream: "output" });
    expect(hupwatch.count(LOG.startedAny)).toBe(1);
    expect(hupwatch.output).not.toContain("signal HUP");
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "Ctrl-C in a terminal reaches hupwatch once, and the command not at all",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const log = `${dir.path}/log`;
    const words = [LAUNCHER, "-k", "-v", "-w", "0", "--", ...always(child("print-signals.ts"))];
    const env = { ...process.env, HUPWATCH_BUN: process.execPath, XDG_RUNTIME_DIR: dir.path };
    const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    // script(1) gives it a terminal of its own, and what is written to script is typed there.
    const terminal = Bun.spawn(
      ["script", "--quiet", "--flush", "--return", "--command", `exec ${quoted}`, log],
      {
        env,
        stdio: ["pipe", "ignore", "ignore"],
      },
    );
    const text = () => (existsSync(log) ? readFileSync(log, "utf8") : "");
    try {
      await until(() => /ready \(pid/.test(text()) && LOG.serves(1).test(text()), {
        what: "generation 1",
        context: text,
      });
      terminal.stdin.write("\x03");
      terminal.stdin.flush();
      await terminal.exited;
      expect(text().match(/received SIGINT/g)).toHaveLength(1);
      expect(text()).not.toContain("signal INT");
      expect(text()).toContain("signal TERM");
      expect(terminal.exitCode).toBe(0);
    } finally {
      for (const entry of processTree(terminal.pid)) killEntry(entry, "SIGKILL");
    }
  },
  TURN_TIMEOUT_MS,
);
