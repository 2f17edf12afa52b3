/** I3: the public path is ours from start to exit, whatever is done to it, in which phase, and by whom. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { cli } from "../harness/cli.ts";
import { type Hupwatch, LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { type Load, startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const THIEF = `${ROOT}/fixtures/children/takes-path.ts`;

interface Row {
  phase: string;
  by: string;
  act: string;
  awayMs: number;
  lost: number;
}
const rows: Row[] = [];
afterAll(() => console.table(rows));

/** A service whose generations, and a stranger, do to its public path what they are asked to. */
class Scene implements AsyncDisposable {
  readonly #files = tempDir();
  readonly #control = join(this.#files.path, "control");
  readonly path = join(this.#files.path, "run", "app.sock");
  #hupwatch: Hupwatch | undefined;
  #stranger: Bun.Subprocess | undefined;
  #load: Load | undefined;
  /** The generations' numbers by what they are now. */
  serving = 1;

  static async start(...options: string[]): Promise<Scene> {
    const scene = new Scene();
    mkdirSync(dirname(scene.path));
    mkdirSync(scene.#control);
    const command = [process.execPath, THIEF, scene.path, scene.#control];
    const bind = ["-k", "-b", `unix:${scene.path}`, "--handover", "systemd"];
    scene.#hupwatch = await startHupwatch([...bind, "--stop-signal", "TERM", ...options, "--", ...command]);
    scene.#load = await startLoad({ target: `unix:${scene.path}`, rate: 500 });
    await scene.load.more(20);
    return scene;
  }

  get hupwatch(): Hupwatch {
    if (!this.#hupwatch) throw new Error("not started");
    return this.#hupwatch;
  }

  get load(): Load {
    if (!this.#load) throw new Error("not started");
    return this.#load;
  }

  async stranger(): Promise<number> {
    if (!this.#stranger) {
      const words = [process.execPath, THIEF, this.path, this.#control, "stranger"];
      this.#stranger = Bun.spawn(words, { stdio: ["ignore", "ignore", "inherit"] });
      await until(() => existsSync(join(this.#control, "stranger.ready")), { what: "the stranger to stand" });
    }
    return this.#stranger.pid;
  }

  async killStranger(): Promise<void> {
    this.#stranger?.kill("SIGKILL");
    await this.#stranger?.exited;
    this.#stranger = undefined;
    for (const name of ["stranger", "stranger.ready"]) rmSync(join(this.#control, name));
  }

  /** Of a generation by its number, or the stranger. */
  async ask(name: string | number, act: string): Promise<void> {
    await until(() => existsSync(join(this.#control, `${name}.ready`)), { what: `${name} to stand` });
    // Else it may be put back between the two calls of a bind, which fails then.
    if (act === "bind") this.hupwatch.signal("SIGSTOP");
    await fetch(`http://x/${act}`, { unix: join(this.#control, `${name}`) });
    if (act === "bind") this.hupwatch.signal("SIGCONT");
  }

  hold = (): void => writeFileSync(join(this.#control, "hold"), "");
  letGo = (): void => rmSync(join(this.#control, "hold"));

  /** The public path leads to a listener of a generation, or of that one. */
  isOurs(generation?: number): boolean {
    const inodeOf = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.ino;
    const directory = dirname(this.path);
    const isHidden = (name: string) =>
      name.startsWith(`.${basename(this.path)}.hupwatch-`) &&
      (generation === undefined || name.includes(`-${generation}-`));
    const hidden = existsSync(directory) ? readdirSync(directory).filter(isHidden) : [];
    return hidden.some((name) => inodeOf(join(directory, name)) === inodeOf(this.path));
  }

  /** Has it done, and waits until clients reach the service again; nobody is lost after that. */
  async suffer(phase: string, by: string, name: string | number, act: string): Promise<void> {
    const { failed } = this.load.progress;
    const news = this.hupwatch.count(/put back|taken back|clients wait at a new one/);
    const beginMs = performance.now();
    await this.ask(name, act);
    await until(() => this.hupwatch.count(/put back|taken back|clients wait at a new one/) > news, {
      what: `${phase}, ${by}, ${act}: the path to be put back`,
      context: () => this.hupwatch.log,
    });
    await until(() => this.isOurs(), { what: "the path to be ours" });
    const awayMs = Math.round(performance.now() - beginMs);
    await this.load.more(10);
    const lost = this.load.progress.failed - failed;
    await this.load.more(20);
    expect(this.load.progress.failed - failed).toBe(lost);
    rows.push({ phase, by, act, awayMs, lost });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#load?.[Symbol.asyncDispose]();
    await this.#hupwatch?.[Symbol.asyncDispose]();
    if (this.#stranger) await this.killStranger();
    this.#files[Symbol.dispose]();
  }
}

/** By one that lives on with a listener of its own: a stranger's is said and let be, and put back when it has gone. */
async function byStranger(scene: Scene, phase: string): Promise<void> {
  const { hupwatch } = scene;
  for (const act of ["bind", "rename"]) {
    const pid = await scene.stranger();
    const { failed } = scene.load.progress;
    await scene.ask("stranger", act);
    const said = `${scene.path}: process ${pid} listens on it`;
    await hupwatch.until(new RegExp(`clients do not reach the service at ${said}`));
    const status = async () => (await cli(["status", `${hupwatch.pid}`], hupwatch as never)).stdout;
    await until(async () => (await status()).includes(said), { what: "status to say so" });
    const puts = hupwatch.count(/is put back/);
    const beginMs = performance.now();
    await scene.killStranger();
    await until(() => hupwatch.count(/is put back/) > puts, { what: "the path to be put back" });
    const awayMs = Math.round(performance.now() - beginMs);
    await until(() => scene.isOurs(), {
      what: "the path to be ours",
      context: () => hupwatch.log,
    });
    await scene.load.more(10);
    const lost = scene.load.progress.failed - failed;
    await scene.load.more(20);
    expect(scene.load.progress.failed - failed).toBe(lost);
    rows.push({ phase, by: "a stranger", act: `${act}, until its end`, awayMs, lost });
  }
  await scene.stranger();
  await scene.suffer(phase, "a stranger", "stranger", "unlink");
}

async function byGeneration(scene: Scene, phase: string, by: string, generation: number): Promise<void> {
  for (const act of ["unlink", "bind", "rename"]) {
    await scene.suffer(phase, by, generation, act);
    if (act === "unlink") continue;
    await scene.ask(generation, "close");
    // The runtime unlinks the path of the listener that it closes: one more act.
    await until(() => scene.isOurs(), { what: "the path to be ours" });
  }
}

describe("I3: in each phase, under counting load", () => {
  // "A program that unlinks and binds the public path takes it for good: nothing answers, nothing is in the log, status says serving."
  test("unlinked, bound, renamed over: put back at once if our own process did it, else when the stranger ends", async () => {
    await using scene = await Scene.start("-w", "6");
    const { hupwatch } = scene;
    await byStranger(scene, "serving");
    await byGeneration(scene, "serving", "the serving one", 1);
    scene.hold();
    hupwatch.hup();
    await hupwatch.until(LOG.started(2));
    await byStranger(scene, "booting");
    await byGeneration(scene, "booting", "the serving one", 1);
    await byGeneration(scene, "booting", "the new one", 2);
    scene.letGo();
    await scene.ask(2, "serve");
    await until(() => scene.isOurs(2), { what: "the flip" });
    await byGeneration(scene, "warm-up", "the one that served", 1);
    await byGeneration(scene, "warm-up", "the new one", 2);
    await byStranger(scene, "warm-up");
    await hupwatch.until(LOG.retired(1));
    await byStranger(scene, "draining");
    await byGeneration(scene, "draining", "the serving one", 2);
    await byGeneration(scene, "draining", "the retired one", 1);
    await scene.ask(1, "exit");
    await hupwatch.until(LOG.gone(1));
    await scene.load.more(20);
  }, 120_000);

  // "As a failed deploy: rolled back; generation 1 goes on, while every request fails."
  test("a new generation that took the path and is not ready loses it to the old one, and so does a stranger that ends", async () => {
    await using scene = await Scene.start();
    const { hupwatch } = scene;
    scene.hold();
    hupwatch.hup();
    await hupwatch.until(LOG.started(2));
    await scene.suffer("booting", "the new one, rolled back", 2, "bind");
    const pid = await scene.stranger();
    await scene.ask("stranger", "bind");
    await hupwatch.until(new RegExp(`${scene.path}: process ${pid} listens on it`));
    await cli(["rollback", `${hupwatch.pid}`], hupwatch as never);
    await hupwatch.until(LOG.rolledBack);
    await hupwatch.until(LOG.gone(2));
    await scene.killStranger();
    await until(() => scene.isOurs(1), { what: "the path to be ours" });
    await scene.load.more(50);
    const { failed } = scene.load.progress;
    await scene.load.more(50);
    expect(scene.load.progress.failed).toBe(failed);
  }, 120_000);

  test.each(["serving", "booting", "warm-up", "draining"] as const)(
    "%s: the directory is removed: it is made anew, clients wait, and a new generation gets them",
    async (phase) => {
      await using scene = await Scene.start("-w", "1");
      const { hupwatch } = scene;
      if (phase === "booting") scene.hold();
      if (phase !== "serving") hupwatch.hup();
      if (phase === "booting") await hupwatch.until(LOG.started(2));
      if (phase === "warm-up") await until(() => scene.isOurs(2), { what: "the flip" });
      if (phase === "draining") await hupwatch.until(LOG.retired(1));
      const next = phase === "serving" ? 2 : 3;
      const { failed } = scene.load.progress;
      const beginMs = performance.now();
      await scene.ask(1, "rmdir");
      await hupwatch.until(/clients wait at a new one/);
      const awayMs = Math.round(performance.now() - beginMs);
      if (phase === "booting") {
        scene.letGo();
        await scene.ask(2, "serve");
      }
      await hupwatch.until(LOG.ready(next));
      await scene.load.more(20);
      const lost = scene.load.progress.failed - failed;
      await hupwatch.until(LOG.serves(next));
      await scene.load.more(20);
      expect(scene.load.progress.failed - failed).toBe(lost);
      expect(lstatSync(dirname(scene.path)).mode & 0o777).toBe(0o755);
      rows.push({ phase, by: "anybody", act: "rmdir", awayMs, lost });
    },
    120_000,
  );
});

// https://github.com/nodejs/node/issues/1666: "generation 1 EMFILE: too many open files, watch ...", exit 125.
test("without inotify there is one warning, and the path is put back at each event of a swap", async () => {
  using place = tempDir();
  const path = join(place.path, "app.sock");
  const none = `#!/bin/sh\nexec unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$0" "$@"' ${LAUNCHER} "$@"\n`;
  writeFileSync(join(place.path, "launcher"), none, { mode: 0o755 });
  const command = [process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
  await using hupwatch = await startHupwatch(
    ["-k", "-w", "0.2", "-b", `unix:${path}`, "--handover", "systemd", "--", ...command],
    { launcher: join(place.path, "launcher") },
  );
  await hupwatch.until(/watching .*app.sock is not possible/);
  rmSync(path);
  await hupwatch.swap(2);
  expect(lstatSync(path).isSocket()).toBe(true);
  rmSync(path);
  hupwatch.signal("SIGHUP");
  await hupwatch.until(LOG.started(3));
  await until(() => existsSync(path), { what: "the path to be put back" });
  expect(hupwatch.count(/watching .*app.sock is not possible/)).toBe(1);
}, 120_000);
