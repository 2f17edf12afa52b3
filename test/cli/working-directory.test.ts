/** A directory that was reached through a symlink which the starter has followed for good. */
import { expect, test } from "bun:test";
import { mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { releaseNote } from "../../src/cli/working-directory.ts";
import { tempDir } from "../harness/until.ts";

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
