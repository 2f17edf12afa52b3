/** A host's own step of a deploy, with a hupwatch that a test plays: it ends on the new release, or as it was. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { type TempDir, tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { PYTHON, ROOT } from "../setup/places.ts";

const STEP = `${ROOT}/fixtures/fleet/switch-release.py`;

/** `reload` is what sh(1) does at a reload; the serving generation is a process in the release that it notes in `serving`. */
class Host implements Disposable {
  readonly #dir: TempDir = tempDir();
  readonly root = this.#dir.path;
  readonly #processes = new Map<string, Bun.Subprocess>();

  constructor(reload: string) {
    for (const release of ["1", "2"]) {
      mkdirSync(`${this.root}/releases/${release}`, { recursive: true });
      const cwd = `${this.root}/releases/${release}`;
      this.#processes.set(
        release,
        Bun.spawn(["sleep", "1000"], { cwd, stdio: ["ignore", "ignore", "ignore"] }),
      );
    }
    symlinkSync("releases/1", `${this.root}/current`);
    mkdirSync(`${this.root}/bin`);
    const pids = [...this.#processes].map(([release, { pid }]) => `pid_${release}=${pid}`).join("\n");
    const script = `#!/bin/sh
cd ${this.root}
${pids}
swapped() { readlink current | sed 's,.*/,,' > serving; }
echo "$1 $(readlink current)" >> asked
case $1 in
status) eval "pid=\\$pid_$(cat serving)"; echo "[{\\"generations\\": [{\\"pid\\": $pid, \\"role\\": \\"serving\\"}]}]" ;;
reload) ${reload} ;;
esac
`;
    writeFileSync(`${this.root}/bin/hupwatch`, script, { mode: 0o755 });
    writeFileSync(`${this.root}/serving`, "1\n");
  }

  start(...words: string[]) {
    const env = { PATH: `${this.root}/bin:/usr/bin:/bin` };
    return Bun.spawn([PYTHON, STEP, ...words], { env, stdio: ["ignore", "pipe", "pipe"] });
  }

  async run(...words: string[]) {
    const step = this.start(...words);
    const [stdout, code] = await Promise.all([step.stdout.text(), step.exited]);
    return {
      code,
      ...(JSON.parse(stdout.trim()) as { comment: string; changed: boolean; [fact: string]: unknown }),
    };
  }

  get linked(): string {
    return readlinkSync(`${this.root}/current`);
  }

  get reloads(): string[] {
    return readFileSync(`${this.root}/asked`, "utf8").match(/^reload .*/gm) ?? [];
  }

  [Symbol.dispose](): void {
    for (const child of this.#processes.values()) child.kill("SIGKILL");
    this.#dir[Symbol.dispose]();
  }
}

const ROLLED_BACK = `echo '{"outcome": "rolled-back", "failure": {"reason": "exited with code 3", "stderr": ["no database"]}}'; exit 1`;

test("the new release serves, and a second time there is nothing to do", async () => {
  using host = new Host("swapped");
  expect(await host.run("--check", host.root, "2")).toMatchObject({ code: 0, changed: true, release: "1" });
  const facts = { code: 0, changed: true, failed: false, before: "1", release: "2", serves: "2" };
  expect(await host.run(host.root, "2")).toMatchObject(facts);
  expect(await host.run(host.root, "2")).toMatchObject({ code: 0, changed: false, before: "2", serves: "2" });
  expect(host.reloads).toEqual(["reload releases/2"]);
});

test("a link that was set, and a reload that was never asked for, is no deploy that is done", async () => {
  using host = new Host("swapped");
  symlinkSync("releases/2", `${host.root}/next`);
  Bun.spawnSync(["mv", "-T", `${host.root}/next`, `${host.root}/current`]);
  expect(await host.run(host.root, "2")).toMatchObject({ code: 0, changed: true, serves: "2" });
});

test("one that is rolled back: the reason, its last lines, and the link leads back", async () => {
  using host = new Host(ROLLED_BACK);
  const facts = await host.run(host.root, "2");
  expect(facts).toMatchObject({
    code: 1,
    changed: false,
    failed: true,
    before: "1",
    release: "1",
    serves: "1",
  });
  expect(facts.comment).toBe(
    "release 2 does not serve: exited with code 3; the link leads back to 1\nno database",
  );
  expect(host.reloads).toEqual(["reload releases/2"]);
});

test("a swap that is late may still come: after the link one more makes it the old release", async () => {
  using host = new Host(
    `[ "$(readlink current)" = releases/1 ] || { swapped; echo late >&2; exit 3; }; swapped`,
  );
  expect(await host.run(host.root, "2")).toMatchObject({ code: 1, release: "1", serves: "1" });
  expect(host.reloads).toEqual(["reload releases/2", "reload releases/1"]);
});

test("an exit code of 0 is not believed where another release serves", async () => {
  using host = new Host("true");
  expect(await host.run(host.root, "2")).toMatchObject({ code: 1, release: "1", serves: "1" });
});

test("no hupwatch: said, and the link leads back", async () => {
  using host = new Host("swapped");
  writeFileSync(`${host.root}/bin/hupwatch`, "", { mode: 0o644 });
  Bun.spawnSync(["rm", `${host.root}/bin/hupwatch`]);
  const facts = await host.run(host.root, "2");
  expect(facts).toMatchObject({ code: 1, release: "1", changed: false });
  expect(facts.comment).toContain("hupwatch is not on PATH");
});

test("refused: a link that leads elsewhere than said, a release that is not there, and a second deploy", async () => {
  using host = new Host("until [ -e go ]; do sleep 0.01; done; swapped");
  const other = await host.run("--from", "0", host.root, "2");
  expect(other).toMatchObject({ code: 2, changed: false, release: "1" });
  expect(other.comment).toContain("another deploy has changed it");
  expect(await host.run(host.root, "3")).toMatchObject({ code: 2, changed: false });
  const first = host.start(host.root, "2");
  await until(() => host.linked === "releases/2", { what: "the first deploy's link" });
  const second = await host.run(host.root, "1");
  expect(second).toMatchObject({ code: 2, changed: false });
  expect(second.comment).toContain("another deploy is under way here");
  writeFileSync(`${host.root}/go`, "");
  expect(await first.exited).toBe(0);
});

test("a deployer that dies leaves no host half way: hung up, and nobody reads", async () => {
  using host = new Host(`until [ -e go ]; do sleep 0.01; done; ${ROLLED_BACK}`);
  const step = host.start(host.root, "2");
  await until(() => host.linked === "releases/2", { what: "the link" });
  await step.stdout.cancel();
  step.kill("SIGHUP");
  writeFileSync(`${host.root}/go`, "");
  expect(await step.exited).toBe(1);
  expect(host.linked).toBe("releases/1");
});

test("a release's name leads nowhere else", async () => {
  using host = new Host("swapped");
  const step = host.start(host.root, "../1");
  expect(await step.exited).toBe(2);
  expect(await step.stderr.text()).toContain("is not the name of a release");
});
