/** Below a real supervisord: a deploy by signal, and an upgrade of hupwatch itself by a plain restart. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { allProcesses, killEntry, processTree } from "../harness/processes.ts";
import { gunicornSite } from "../harness/site.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

/** As it is, but for places. */
const confFor = (place: string, current: string) =>
  readFileSync(`${ROOT}/fixtures/supervisors/supervisord.conf`, "utf8")
    .replaceAll("/srv/app", place)
    .replace("command=hupwatch ", `command=${LAUNCHER} --chdir ${current} `);

class Supervisord implements AsyncDisposable {
  readonly #env: Record<string, string>;
  readonly #conf: string;
  readonly #process: Bun.Subprocess;

  /** The user's way to releases behind a symlink: supervisord would resolve it once and for all in `directory=`. */
  constructor(
    private readonly place: string,
    current: string,
  ) {
    this.#env = {
      ...(process.env as Record<string, string>),
      HUPWATCH_BUN: process.execPath,
      XDG_RUNTIME_DIR: place,
    };
    this.#conf = `${place}/supervisord.conf`;
    writeFileSync(this.#conf, confFor(place, current));
    this.#process = Bun.spawn(["supervisord", "-c", this.#conf], {
      env: this.#env,
      stdio: ["ignore", "ignore", "ignore"],
    });
  }

  ctl(...words: string[]): string {
    return Bun.spawnSync(["supervisorctl", "-c", this.#conf, ...words], { env: this.#env })
      .stdout.toString()
      .trim();
  }

  get log(): string {
    try {
      return readFileSync(`${this.place}/app.log`, "utf8");
    } catch {
      return "";
    }
  }

  async says(line: RegExp, times = 1): Promise<void> {
    const all = new RegExp(line.source, "gm");
    await until(() => (this.log.match(all)?.length ?? 0) >= times, {
      what: `${line}`,
      context: () => this.log,
    });
  }

  /** gunicorns of this place, whatever their parent is. */
  get masters(): number[] {
    const mine = allProcesses().filter(
      (p) => p.command.includes(`unix:${this.place}/app.sock`) && p.state !== "Z",
    );
    const gunicorns = mine.filter((p) => /gunicorn/.test(p.command) && !/main\.ts/.test(p.command));
    const pids = new Set(gunicorns.map((p) => p.pid));
    return gunicorns.filter((p) => !pids.has(p.ppid)).map((p) => p.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ctl("stop", "app");
    for (const entry of processTree(...this.masters)) killEntry(entry, "SIGKILL");
    this.#process.kill("SIGTERM");
    await this.#process.exited;
  }
}

test("I7: supervisorctl signal HUP swaps, supervisorctl restart hands over to the next hupwatch, and nothing is dropped", async () => {
  using site = gunicornSite();
  await using supervisord = new Supervisord(site.path, site.current);
  await supervisord.says(LOG.serves(1));
  await using load = await startLoad({ target: `unix:${site.path}/app.sock`, versions: ["1", "2", "3"] });
  await load.version("1");
  await supervisord.says(/version 1 ready/, 2);

  site.deploy("2");
  supervisord.ctl("signal", "HUP", "app");
  await supervisord.says(LOG.gone(1));
  await supervisord.says(/version 2 ready/, 2);
  await load.version("2");

  site.deploy("3");
  const before = supervisord.ctl("pid", "app");
  expect(supervisord.ctl("restart", "app")).toContain("started");
  await supervisord.says(LOG.gone(2));
  await supervisord.says(/version 3 ready/, 2);
  await load.version("3");
  await load.more(200);

  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "3" });
  expect(supervisord.ctl("pid", "app")).not.toBe(before);
  expect(supervisord.masters).toHaveLength(1);
}, 120_000);
