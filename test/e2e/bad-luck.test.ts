/**
 * What a machine may do to a swap: I8 under each of them. The reason is said in one line, the old generation serves on and
 * drops nothing, and the next HUP under better luck works.
 */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { TINY } from "../harness/commands.ts";
import {
  type Hupwatch,
  LAUNCHER,
  type StartOptions,
  spawnHupwatch,
  startHupwatch,
} from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { openDescriptorNumbers } from "../harness/processes.ts";
import { record } from "../harness/table.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";

const RATE = 200;

function run(...command: string[]): void {
  const { success, stderr } = Bun.spawnSync(command, { stderr: "pipe", stdout: "ignore" });
  if (!success) throw new Error(`${command.join(" ")}: ${stderr}`);
}

const canMount = (() => {
  using dir = tempDir();
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "none", dir.path], { stderr: "ignore" }).success;
  return mounted && Bun.spawnSync(["umount", dir.path]).success;
})();

function mountTmpfs(path: string, options: string): Disposable {
  mkdirSync(path, { recursive: true });
  run("mount", "-t", "tmpfs", "-o", options, "none", path);
  return { [Symbol.dispose]: () => run("umount", "--lazy", path) };
}

interface Scene {
  directory: string;
  hupwatch: Hupwatch;
}

interface Luck {
  /** In the place where the command is started. */
  options?: (directory: string) => string[];
  /** Before the start; undone after the end. */
  prepare?: (directory: string) => Disposable;
  spoil(scene: Scene): void;
  mend(scene: Scene): void;
  said: RegExp;
  /** To be given by the old generation before the luck turns; default 50. */
  answers?: number;
}

/** What the scene has: `work/server`, started in `work`; `sockets/s`; `env`. */
const server = "./server";

const LUCK: Record<string, Luck> = {
  "the working directory was deleted": {
    spoil: ({ directory }) => renameSync(`${directory}/work`, `${directory}/away`),
    mend: ({ directory }) => renameSync(`${directory}/away`, `${directory}/work`),
    said: /no directory \S+work/,
  },
  "the command was deleted": {
    spoil: ({ directory }) => renameSync(`${directory}/work/server`, `${directory}/away`),
    mend: ({ directory }) => renameSync(`${directory}/away`, `${directory}/work/server`),
    said: /command not found: '\.\/server'/,
  },
  "the command is no longer executable": {
    spoil: ({ directory }) => chmodSync(`${directory}/work/server`, 0o644),
    mend: ({ directory }) => chmodSync(`${directory}/work/server`, 0o755),
    said: /server is not executable/,
  },
  "the command's interpreter is not there": {
    spoil: ({ directory }) => {
      renameSync(`${directory}/work/server`, `${directory}/away`);
      writeFileSync(`${directory}/work/server`, "#!/no/such/interpreter\n", { mode: 0o755 });
    },
    mend: ({ directory }) => renameSync(`${directory}/away`, `${directory}/work/server`),
    said: /rolled back: generation 2 .*(interpreter|127|not found)/,
  },
  "the env file is missing": {
    options: (directory) => ["--env-file", `${directory}/env`],
    spoil: ({ directory }) => renameSync(`${directory}/env`, `${directory}/away`),
    mend: ({ directory }) => renameSync(`${directory}/away`, `${directory}/env`),
    said: /cannot read --env-file/,
  },
  "no descriptor is left": {
    spoil: ({ hupwatch }) => limitDescriptors(hupwatch, 0),
    mend: ({ hupwatch }) => run("prlimit", `--pid=${hupwatch.pid}`, "--nofile=1024:"),
    said: /rolled back: .*(EMFILE|too many open files)/i,
  },
};

/** Of the privileged kind: they need a mount or a cgroup. */
const ROOT_LUCK: Record<string, Luck> = {
  "the socket's directory is read-only": {
    prepare: (directory) => mountTmpfs(`${directory}/sockets`, "size=64k"),
    spoil: ({ directory }) => run("mount", "-o", "remount,ro", `${directory}/sockets`),
    mend: ({ directory }) => run("mount", "-o", "remount,rw", `${directory}/sockets`),
    said: /rolled back: .*(EROFS|[Rr]ead-only)/,
  },
  "no process can be forked": {
    spoil: ({ hupwatch }) => {
      mkdirSync(cgroupOf(hupwatch));
      writeFileSync(`${cgroupOf(hupwatch)}/cgroup.procs`, `${hupwatch.pid}`);
      writeFileSync(`${cgroupOf(hupwatch)}/pids.max`, readFileSync(`${cgroupOf(hupwatch)}/pids.current`));
    },
    mend: ({ hupwatch }) => writeFileSync(`${cgroupOf(hupwatch)}/pids.max`, "max"),
    said: /rolled back: .*(EAGAIN|[Rr]esource temporarily unavailable)/,
    // The runtime's first collection is due after a second, and it must not want a thread for it.
    answers: 300,
  },
};

const canMake = {
  "the socket's directory is read-only": canMount,
  "no process can be forked": hasPidsCgroup(),
};

function hasPidsCgroup(): boolean {
  return process.getuid?.() === 0 && existsSync("/sys/fs/cgroup/pids/cgroup.procs");
}

const PIDS_CGROUP = "/sys/fs/cgroup/pids";
const cgroupOf = (hupwatch: Hupwatch) => `${PIDS_CGROUP}/hupwatch-test-${hupwatch.pid}`;

/** The lowest numbers are given out first: so many more can be opened, whatever is open above. */
function limitDescriptors({ pid }: Hupwatch, more: number): void {
  const open = new Set(openDescriptorNumbers(pid));
  let limit = 0;
  for (let free = 0; free <= more; limit++) if (!open.has(limit)) free++;
  run("prlimit", `--pid=${pid}`, `--nofile=${limit - 1}:`);
}

function makeScene(directory: string): void {
  for (const name of ["work", "sockets"]) mkdirSync(`${directory}/${name}`, { recursive: true });
  writeFileSync(`${directory}/work/server`, `#!/bin/sh\nexec ${TINY}\n`, { mode: 0o755 });
  writeFileSync(`${directory}/env`, "A=1\n");
}

async function play(name: string, luck: Luck): Promise<void> {
  using _turn = await takeTurn();
  using dir = tempDir();
  using _prepared = luck.prepare?.(dir.path);
  makeScene(dir.path);
  const bind = `unix:${dir.path}/sockets/s`;
  const options = ["-k", "-w", "0.2", "-b", bind, ...(luck.options?.(dir.path) ?? [])];
  await using hupwatch = await startHupwatch([...options, "--", server], { cwd: `${dir.path}/work` });
  await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
  const scene = { directory: dir.path, hupwatch };
  luck.spoil(scene);
  hupwatch.hup();
  await hupwatch.until(luck.said);
  await load.more(luck.answers ?? 50);
  if (!hupwatch.alive) throw new Error(`hupwatch died\n${hupwatch.log}`);
  luck.mend(scene);
  await until(
    () => {
      hupwatch.hup();
      return /generation \d+ serves, generation 1 retired/.test(hupwatch.log);
    },
    { what: "the next swap", everyMs: 1000, timeoutMs: 120_000, context: () => hupwatch.log },
  );
  await hupwatch.until(LOG.gone(1));
  await load.more(50);
  const report = await load.stop();
  record(`a HUP when ${name}`, report, hupwatch.log, luck.said);
  expect(report).toMatchObject({ failures: {} });
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  await hupwatch.assertTreeGone();
  if (existsSync(cgroupOf(hupwatch))) rmdirSync(cgroupOf(hupwatch));
}

describe("I8: the old generation serves on when, at a HUP,", () => {
  test.concurrent.each(Object.keys(LUCK))("%s", (name) => play(name, LUCK[name] as Luck), TURN_TIMEOUT_MS);

  test.concurrent.each([1, 2, 3, 4, 6, 8, 10, 12])(
    "only %i descriptors are left",
    (more) =>
      play(`only ${more} descriptors are left`, {
        options: () => ["--ready-timeout", "15s"],
        spoil: ({ hupwatch }) => limitDescriptors(hupwatch, more),
        mend: ({ hupwatch }) => run("prlimit", `--pid=${hupwatch.pid}`, "--nofile=1024:"),
        // With enough of them it is a swap like any other.
        said: /rolled back: .*(EMFILE|too many open files)|generation 2 serves/i,
      }),
    TURN_TIMEOUT_MS,
  );
});

describe("I8: the old generation serves on when, at a HUP, as root,", () => {
  for (const [name, luck] of Object.entries(ROOT_LUCK)) {
    const possible = canMake[name as keyof typeof canMake];
    if (possible) test.concurrent(name, () => play(name, luck), TURN_TIMEOUT_MS);
    else test.skip(`${name}: this machine does not let us`, () => {});
  }
});

/** A run directory of its own that is spoilt before the start; `said` is what hupwatch makes of it, and then all works. */
async function playRunDir(name: string, prepare: (path: string) => Disposable, said: RegExp): Promise<void> {
  using _turn = await takeTurn();
  using dir = tempDir();
  using _spoilt = prepare(`${dir.path}/run`);
  makeScene(dir.path);
  const bind = `unix:${dir.path}/sockets/s`;
  const start: StartOptions = { cwd: `${dir.path}/work`, env: { XDG_RUNTIME_DIR: `${dir.path}/run` } };
  await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "-b", bind, "--", server], start);
  await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
  await hupwatch.until(said);
  for (const next of [2, 3]) await hupwatch.swap(next);
  await load.more(50);
  const report = await load.stop();
  record(`the run directory ${name}`, report, hupwatch.log, said);
  expect(report).toMatchObject({ failures: {} });
  expect(hupwatch.count(said)).toBe(1);
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
}

describe("a run directory that cannot be written costs the takeover and not the service:", () => {
  if (!canMount) test.skip("read-only, and full: this machine does not let us mount", () => {});
  else {
    test.concurrent(
      "read-only",
      () =>
        playRunDir(
          "is read-only",
          (path) => mountTmpfs(path, "ro"),
          /warn: cannot (use|write to) the run directory/,
        ),
      TURN_TIMEOUT_MS,
    );
    test.concurrent(
      "full",
      () =>
        playRunDir(
          "is full",
          (path) => {
            const mounted = mountTmpfs(path, "size=4k,mode=700");
            writeFileSync(`${path}/fills-it`, Buffer.alloc(4096));
            return mounted;
          },
          /warn: cannot write to \S+: .*(ENOSPC|no space)/i,
        ),
      TURN_TIMEOUT_MS,
    );
  }
});

describe("a log that nobody reads harms no swap:", () => {
  test.concurrent.each([
    ["stderr is closed", `exec '${LAUNCHER}' "$@" 2>&-`],
    [
      "stderr is a pipe whose reader has gone",
      `mkfifo fifo; (exec 3<fifo) & exec 2>fifo; wait; exec '${LAUNCHER}' "$@"`,
    ],
    ["stdout and stderr are closed", `exec '${LAUNCHER}' "$@" >&- 2>&-`],
  ])(
    "%s",
    async (name, script) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      makeScene(dir.path);
      const launcher = `${dir.path}/start`;
      writeFileSync(launcher, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      const bind = `unix:${dir.path}/sockets/s`;
      const words = ["-k", "-w", "0.2", "-b", bind, "--", server];
      await using hupwatch = spawnHupwatch(words, { launcher, cwd: `${dir.path}/work` });
      await until(() => existsSync(`${dir.path}/sockets/s`), { what: "the socket" });
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      for (const next of [2, 3]) {
        hupwatch.hup();
        await load.version(`${next}`);
        // Nobody tells when the old one has gone; two processes of each generation at most are seen meanwhile.
        await until(() => hupwatch.tree().filter(({ command }) => command.includes("tiny.ts")).length === 1, {
          what: "one generation",
        });
      }
      const report = await load.stop();
      record(`two HUPs when ${name}`, report, "", /./);
      expect(report).toMatchObject({ failures: {} });
      hupwatch.signal("SIGTERM");
      expect(await hupwatch.exited).toBe(0);
      await hupwatch.assertTreeGone();
    },
    TURN_TIMEOUT_MS,
  );
});
