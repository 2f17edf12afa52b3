/**
 * "The run directory goes away (logout)" while hupwatch lives, and a run directory that the shell does not know: a reload finds it.
 * https://github.com/gmuxapp/gmux/pull/359, https://github.com/tmux/tmux/issues/4994, https://github.com/benoitc/gunicorn/issues/1524
 */
import { expect, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { cli } from "../harness/cli.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const WORDS = ["-k", "-w", "0", "--handover", "none", "--ready", "delay:0", "--", "sleep", "1000"];

test.each([
  ["the directory", (run: string) => rmSync(run, { recursive: true })],
  ["its parent", (run: string) => rmSync(`${run}/..`, { recursive: true })],
  ["the control socket", (run: string) => rmSync(`${run}/shop.sock`)],
  ["the lock", (run: string) => rmSync(`${run}/shop.lock`)],
])(
  "%s is removed: lock, state and control socket are made anew, and a reload finds them",
  async (_, remove) => {
    using place = tempDir();
    const env = { XDG_RUNTIME_DIR: `${place.path}/user` };
    const run = `${place.path}/user/hupwatch`;
    await using hupwatch = await startHupwatch(["--name", "shop", ...WORDS], { env });
    const before = readdirSync(run).toSorted();
    remove(run);
    await hupwatch.until(/made anew/);
    await until(() => `${readdirSync(run).toSorted()}` === `${before}`, { what: "all files to be there" });
    const { stdout, exitCode } = await cli(["reload", "shop"], { env });
    expect({ stdout, exitCode }).toMatchObject({ exitCode: 0 });
    const second = await cli(["--name", "shop", ...WORDS], { env });
    expect(second.stderr).toContain(`is already running as process ${hupwatch.pid}`);
  },
);

test("a pid is enough, whatever XDG_RUNTIME_DIR the shell has, and what has no control socket is named", async () => {
  using shell = tempDir();
  const place = { env: { XDG_RUNTIME_DIR: shell.path } };
  await using hupwatch = await startHupwatch(["--name", "shop", ...WORDS]);
  expect(await cli(["reload", `${hupwatch.pid}`], place)).toMatchObject({ exitCode: 0 });
  expect((await cli(["status", `${hupwatch.pid}`], place)).stdout).toStartWith("shop   serving");
  await using mute = await startHupwatch(["--name", "mute", "--no-control", ...WORDS]);
  const asked = await cli(["reload", `${mute.pid}`], place);
  expect(asked.exitCode).toBe(4);
  expect(asked.stderr).toContain(`hupwatch 'mute' (pid ${mute.pid}) has no control socket`);
  expect((await cli(["reload", `${process.pid}`], place)).stderr).toContain("or has that pid");
});

test("PrivateTmp=: the process has another /tmp", async () => {
  using place = tempDir();
  const launcher = `${ROOT}/fixtures/launchers/private_tmp.sh`;
  const env = { XDG_RUNTIME_DIR: "/mnt" };
  await using hupwatch = await startHupwatch(["--name", "shop", ...WORDS], { launcher, env });
  expect(readdirSync("/mnt")).not.toContain("hupwatch");
  const shell = { env: { XDG_RUNTIME_DIR: place.path } };
  expect(await cli(["reload", `${hupwatch.pid}`], shell)).toMatchObject({ exitCode: 0 });
});
