/** A directory that was reached through a symlink which the starter has followed for good. */
import { expect, test } from "bun:test";
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { pathNote, releaseNote } from "../../src/plan/working-directory.ts";
import { tempDir } from "../harness/temp-dir.ts";

test("the link that a deploy would switch is named, with the way from it", () => {
  using dir = tempDir();
  const root = realpathSync(dir.path);
  mkdirSync(`${root}/releases/41/app`, { recursive: true });
  mkdirSync(`${root}/releases/42`);
  symlinkSync("releases/41", `${root}/current`);
  symlinkSync("nowhere", `${root}/broken`);
  expect(releaseNote(`${root}/releases/41`)).toEndWith(`--chdir ${root}/current`);
  expect(releaseNote(`${root}/releases/41/app`)).toEndWith(`--chdir ${root}/current/app`);
  expect(releaseNote(`${root}/releases/42`)).toBeUndefined();
  expect(releaseNote(`${root}/releases`)).toBeUndefined();
  expect(releaseNote(root)).toBeUndefined();
  expect(releaseNote("/")).toBeUndefined();
  expect(releaseNote("/no/such/directory")).toBeUndefined();
});

test("a link beside the release does as well", () => {
  using dir = tempDir();
  const root = realpathSync(dir.path);
  mkdirSync(`${root}/v2`);
  symlinkSync("v2", `${root}/current`);
  expect(releaseNote(`${root}/v2`)).toEndWith(`--chdir ${root}/current`);
});

test("a program that the PATH finds in one release for ever is named, with its place in every release", () => {
  using dir = tempDir();
  const root = realpathSync(dir.path);
  mkdirSync(`${root}/releases/41/venv/bin`, { recursive: true });
  mkdirSync(`${root}/releases/41/app`);
  writeFileSync(`${root}/releases/41/venv/bin/server`, "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("releases/41", `${root}/current`);
  const activated = { PATH: `${root}/releases/41/venv/bin:/usr/bin` };
  const instead = `run ${root}/current/venv/bin/server instead`;
  expect(pathNote("server", `${root}/current`, activated)).toEndWith(instead);
  expect(pathNote("server", `${root}/current/app`, activated)).toEndWith(instead);
  // Where it is looked for through the link, or is no part of the release, all is well.
  expect(pathNote("server", `${root}/current`, { PATH: `${root}/current/venv/bin` })).toBeUndefined();
  expect(pathNote("server", `${root}/releases/41`, activated)).toBeUndefined();
  expect(pathNote("venv/bin/server", `${root}/current`, activated)).toBeUndefined();
  expect(pathNote("sh", `${root}/current`, activated)).toBeUndefined();
  expect(pathNote("server", "/", activated)).toBeUndefined();
});
