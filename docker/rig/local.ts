/**
 * The inside of a cell without Docker: the supervisor is PID 1 of a namespace of its own (unshare(1), so root), its files
 * and the application are in a temporary directory, the load runs beside it. Owns all of them.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { freePort } from "../../test/harness/free-port.ts";
import { type TempDir, tempDir } from "../../test/harness/temp-dir.ts";
import { until } from "../../test/harness/until.ts";
import { type Column, PORT } from "./columns.ts";
import { begin, type Done, run } from "./command.ts";
import { filesOf } from "./fixture.ts";
import type { Row } from "./matrix.ts";
import type { Load, Place } from "./place.ts";
import { PLACE, ROOT } from "./places.ts";

const LAUNCHER = `${ROOT}/src/launcher.sh`;

/** What `docker run --init` puts before the command, under the names that Debian has for it. */
const INIT = ["tini", "docker-init"].find((name) => Bun.which(name));
const wantsInit = (row: Row) => row.options?.includes("--init") === true;

/** Of `docker run`: there is nothing like it here. */
const RIGHTS = ["--cap-drop", "--read-only", "--user", "--security-opt"];

/** Why a cell cannot be tried here; undefined where it can. */
export function whyNotHere(row: Row, server: Column): string | undefined {
  if (process.getuid?.() !== 0) return "needs root for a PID namespace";
  if (row.image === "systemd")
    return "needs Docker: systemd must be the machine's only one, or in a container";
  const rights = row.options?.find((word) => RIGHTS.includes(word));
  if (rights !== undefined) return `needs Docker: it is about ${rights}`;
  if (wantsInit(row) && !INIT) return "tini is not installed here";
  const programs = [...row.programs, server.words[0] ?? ""];
  const missing = programs.find((program) => !Bun.which(program));
  return missing === undefined ? undefined : `${missing} is not installed here`;
}

export async function startLocal(row: Row, server: Column): Promise<Place> {
  const local = new Local(row, server, tempDir(), await freePort());
  try {
    await local.start();
  } catch (error) {
    await local[Symbol.asyncDispose]();
    throw error;
  }
  return local;
}

class Local implements Place {
  #unshare: Bun.Subprocess | undefined;
  /** The first process, as this namespace numbers it. */
  #first = 0;

  constructor(
    private readonly row: Row,
    private readonly server: Column,
    private readonly dir: TempDir,
    private readonly port: number,
  ) {}

  /** Paths and the port of a container as they are here. */
  #here(text: string): string {
    const { path } = this.dir;
    const port = new RegExp(`(?<=0\\.0\\.0\\.0:)${PORT}\\b`, "g");
    return text
      .replaceAll(PLACE, path)
      .replaceAll(/(?<!\w)\/etc\/(?=supervisors|service|s6)/g, `${path}/etc/`)
      .replace(port, `${this.port}`);
  }

  get #env(): Record<string, string> {
    const env = Object.entries(this.row.env ?? {}).map(([name, value]) => [name, this.#here(value)]);
    const { path } = this.dir;
    const own = { PATH: `${path}/bin:${process.env.PATH}`, HUPWATCH_BUN: process.execPath };
    return { ...own, XDG_RUNTIME_DIR: path, ...Object.fromEntries(env) };
  }

  async start(): Promise<void> {
    const { path } = this.dir;
    copyFileSync(`${ROOT}/fixtures/apps/wsgi.py`, `${path}/wsgi.py`);
    writeFileSync(`${path}/VERSION`, "1\n");
    mkdirSync(`${path}/bin`);
    symlinkSync(LAUNCHER, `${path}/bin/hupwatch`);
    for (const { path: place, text } of filesOf(this.row, this.server)) {
      const file = this.#here(place);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, this.#here(text), { mode: 0o755 });
    }
    const log = Bun.file(`${path}/first.log`);
    const namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"];
    const init = wantsInit(this.row) && INIT ? [INIT, "--"] : [];
    const words = [...namespace, ...init, ...this.row.first(this.server).map((word) => this.#here(word))];
    const options = { cwd: path, env: { ...process.env, ...this.#env } };
    const child = Bun.spawn(words, { ...options, stdio: ["ignore", log, log] });
    this.#unshare = child;
    this.#first = await until(
      () => {
        if (child.exitCode !== null) throw new Error(`${words.join(" ")}: exit code ${child.exitCode}`);
        return Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8"));
      },
      { what: "the first process" },
    );
  }

  exec(words: readonly string[]): Promise<Done> {
    const inside = [
      "nsenter",
      "--target",
      `${this.#first}`,
      "--pid",
      "--mount",
      `--wd=${this.dir.path}`,
      "--",
    ];
    return run([...inside, ...words.map((word) => this.#here(word))], {
      env: this.#env,
      timeoutMs: 120_000,
    });
  }

  async signal(name: string): Promise<void> {
    process.kill(this.#first, name.startsWith("SIG") ? name : `SIG${name}`);
  }

  async log(): Promise<string> {
    const { path } = this.dir;
    const names = readdirSync(path).filter((name) => name.endsWith(".log"));
    return names.map((name) => readFileSync(`${path}/${name}`, "utf8")).join("");
  }

  async stop(graceSeconds: number): Promise<number> {
    const child = this.#unshare as Bun.Subprocess;
    process.kill(this.#first, "SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), graceSeconds * 1000);
    const code = await child.exited;
    clearTimeout(force);
    return code;
  }

  /** Nobody counts it here. */
  async wholeMb(): Promise<number[]> {
    return [];
  }

  load(options: readonly string[]): Load {
    const target =
      this.server.transport === "unix" ? `unix:${this.dir.path}/app.sock` : `http://127.0.0.1:${this.port}/`;
    const env = { HUPWATCH_BUN: process.execPath };
    const running = begin([LAUNCHER, "load", "--json", ...options, target], { env, timeoutMs: 3_600_000 });
    return {
      ...running,
      end() {
        running.signal("SIGTERM");
        return running.done;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // With unshare goes its namespace, and all that is in it.
    this.#unshare?.kill("SIGKILL");
    await this.#unshare?.exited;
    this.dir[Symbol.dispose]();
  }
}
