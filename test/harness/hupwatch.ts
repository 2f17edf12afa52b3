/** hupwatch as a user starts it: through its launcher, in a directory, with an environment. */
import { mkdirSync, openSync, readFileSync } from "node:fs";
import { ROOT } from "../setup/places.ts";
import { LOG } from "./log-lines.ts";
import { isSame, killEntry, type ProcessEntry, processesWithEnv, processTree } from "./processes.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** Two signals of one kind that are closer than src/cli/signals.ts's ECHO_MS are one. */
export const LONGER_THAN_AN_ECHO_MS = 400;
export const LAUNCHER = `${ROOT}/src/launcher.sh`;

/** In the environment of hupwatch and so of all that it starts: finds what has left the process tree. */
const MARK = "HW_TEST_MARK";

/** Between two looks through all of /proc: oftener, they would be the load that others wait for. */
const TREE_MS = 50;

export interface StartOptions {
  /** Default: the test's own. `$PWD` says the same, as a shell has it: a symlink in it stays one. */
  cwd?: string;
  /** Added to the test's own environment; undefined takes a variable away. */
  env?: Record<string, string | undefined>;
  /** Default LAUNCHER. */
  launcher?: string;
  /** A descriptor or a path in place of the file that `log` reads, which is empty then. */
  stderr?: number | string;
}

/** For tests of the start itself. All others want startHupwatch, which waits for the first generation. */
export function spawnHupwatch(args: string[], options: StartOptions = {}): Hupwatch {
  return new Hupwatch(args, options);
}

/** Resolves when generation 1 serves. */
export async function startHupwatch(args: string[], options: StartOptions = {}): Promise<Hupwatch> {
  const hupwatch = spawnHupwatch(args, options);
  try {
    await hupwatch.until(LOG.serves(1));
    return hupwatch;
  } catch (error) {
    await hupwatch[Symbol.asyncDispose]();
    throw error;
  }
}

export class Hupwatch implements AsyncDisposable {
  readonly pid: number;
  /** As a shell has it: 128 + n for signal n. */
  readonly exited: Promise<number>;
  #files: TempDir = tempDir();
  #mark = crypto.randomUUID();
  #process: Bun.Subprocess;
  /** What was last seen of its tree. */
  #members: ProcessEntry[] = [];

  constructor(args: string[], options: StartOptions) {
    const { cwd = process.cwd(), env = {}, launcher = LAUNCHER } = options;
    mkdirSync(`${this.#files.path}/run`, { mode: 0o700 });
    const ownLog = this.#append("stderr");
    this.env = {
      ...process.env,
      HUPWATCH_BUN: process.execPath,
      XDG_RUNTIME_DIR: `${this.#files.path}/run`,
      PWD: cwd,
      [MARK]: this.#mark,
      ...env,
    };
    this.#process = Bun.spawn([launcher, ...args], {
      cwd,
      env: this.env,
      // Files and no pipes: a command that survives its hupwatch must still have somewhere to write.
      stdio: ["ignore", this.#append("stdout"), stderrOf(options) ?? ownLog],
    });
    this.pid = this.#process.pid;
    this.exited = this.#process.exited;
  }

  /** In which it was started: for sub-commands. */
  readonly env: Record<string, string | undefined>;

  /** All of stderr: hupwatch's lines and the command's. */
  get log(): string {
    return readFileSync(`${this.#files.path}/stderr`, "utf8");
  }

  /** All of stdout. */
  get output(): string {
    return readFileSync(`${this.#files.path}/stdout`, "utf8");
  }

  get alive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Waits for text on stderr (or on `stream`); default a minute. Fails with the whole log, and at once where hupwatch is over. */
  async until(
    pattern: RegExp,
    { timeoutMs = 60_000, stream = "log" }: { timeoutMs?: number; stream?: "log" | "output" } = {},
  ): Promise<RegExpExecArray> {
    return await until(
      () => {
        const { alive } = this;
        const found = pattern.exec(this[stream]);
        if (!found && !alive) throw new Error(`hupwatch is over and did not say ${pattern}\n${this.log}`);
        return found;
      },
      { timeoutMs, what: `${pattern}`, context: () => this.log },
    );
  }

  /** How often the log has it. */
  count(pattern: RegExp): number {
    return this.log.match(new RegExp(pattern.source, "g"))?.length ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.tree();
    this.#process.kill(name);
  }

  hup(): void {
    this.signal("SIGHUP");
  }

  /** HUP, and wait until generation `to` serves and the one before it is gone. */
  async swap(to: number): Promise<void> {
    this.hup();
    await this.until(LOG.serves(to));
    this.tree();
    await this.until(LOG.gone(to - 1), { timeoutMs: 60_000 });
  }

  /** hupwatch and all that it started and that still is, inside its process tree or out of it; zombies too. */
  tree(): ProcessEntry[] {
    // A command may overwrite its environment (setproctitle does), and what has left the tree may have been seen in it.
    const roots = [...processesWithEnv(MARK, this.#mark), ...this.#members]
      .filter(isSame)
      .map(({ pid }) => pid);
    this.#members = processTree(...(this.alive ? [this.pid] : []), ...roots);
    return this.#members;
  }

  /** Waits until nothing that it started is left. Fails with what is. */
  async assertTreeGone(): Promise<void> {
    const left = () => {
      const tree = this.tree();
      const ours = new Set(tree.map(({ pid }) => pid));
      // A zombie whose parent is none of ours is for init to reap, in its own time.
      const owed = tree.filter((entry) => entry.state !== "Z" || ours.has(entry.ppid));
      return owed.map((entry) => `${entry.pid} ${entry.state} ${entry.command}`);
    };
    await until(() => left().length === 0, {
      everyMs: TREE_MS,
      what: "hupwatch's whole process tree to be gone",
      context: () => `${left().join("\n")}\n${this.log}`,
    });
  }

  /** Ends all that it started, the hard way: a test's assertions come before. */
  async [Symbol.asyncDispose](): Promise<void> {
    await until(
      () => {
        const left = this.tree().filter((entry) => entry.state !== "Z");
        for (const entry of left) killEntry(entry, "SIGKILL");
        return left.length === 0;
      },
      { everyMs: TREE_MS, what: "hupwatch's process tree to be killed" },
    );
    this.#files[Symbol.dispose]();
  }

  #append(name: string): number {
    return openSync(`${this.#files.path}/${name}`, "a");
  }
}

const stderrOf = ({ stderr }: StartOptions) => (typeof stderr === "string" ? Bun.file(stderr) : stderr);
