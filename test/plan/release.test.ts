/** A generation stays in the release that it was started in, however the way there was written. */
import { expect, test } from "bun:test";
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { physical, pinned, pinnedSearchPaths } from "../../src/plan/release.ts";
import { tempDir } from "../harness/temp-dir.ts";

test("the program is reached without a symlinked directory, and keeps its own name", () => {
  using dir = tempDir();
  const root = realpathSync(dir.path);
  mkdirSync(`${root}/releases/1/venv/bin`, { recursive: true });
  symlinkSync("releases/1", `${root}/current`);
  symlinkSync("/bin/sh", `${root}/releases/1/venv/bin/python`);
  const python = `${root}/releases/1/venv/bin/python`;
  const first = (program: string, directory = root) => pinned([program, "-m", "gunicorn"], directory);
  expect(first(`${root}/current/venv/bin/python`)).toEqual([python, "-m", "gunicorn"]);
  expect(first("current/venv/bin/python")[0]).toBe(python);
  expect(first("../../current/venv/bin/python", `${root}/current`)[0]).toBe(python);
  // Relative to the release itself, which is physical for the command: nothing to do, and nothing done.
  for (const word of ["venv/bin/python", "./venv/bin/python"])
    expect(first(word, `${root}/current`)[0]).toBe(word);
  for (const word of ["python", python, "/bin/sh", "/no/such/program", "./none"])
    expect(first(word)[0]).toBe(word);
  expect(physical(`${root}/current`)).toBe(`${root}/releases/1`);
  expect(physical("/no/such")).toBe("/no/such");
});

// https://github.com/benoitc/gunicorn/issues/1475
test("options and search paths that lead to a release are led there; what is no path of one stays", () => {
  using dir = tempDir();
  const root = realpathSync(dir.path);
  mkdirSync(`${root}/releases/1/lib`, { recursive: true });
  symlinkSync("releases/1", `${root}/current`);
  const one = `${root}/releases/1`;
  const paths = { directories: ["--chdir"], lists: ["--pythonpath"] };
  const rows: [words: string[], pinned: string[]][] = [
    [
      ["--chdir", `${root}/current`],
      ["--chdir", one],
    ],
    [[`--chdir=${root}/current/lib`], [`--chdir=${one}/lib`]],
    [
      ["--chdir", "current"],
      ["--chdir", one],
    ],
    [
      ["--chdir", "releases/1"],
      ["--chdir", "releases/1"],
    ],
    [[`--pythonpath=${root}/current,/lib,lib`], [`--pythonpath=${one},/lib,lib`]],
    [
      ["--pid", `${root}/current/x`],
      ["--pid", `${root}/current/x`],
    ],
    [
      ["--", "--chdir", `${root}/current`],
      ["--", "--chdir", `${root}/current`],
    ],
    [
      [`PYTHONPATH=/a:${root}/current/lib`, "gunicorn"],
      [`PYTHONPATH=/a:${one}/lib`, "gunicorn"],
    ],
    [
      ["--chdir", `${root}/none`],
      ["--chdir", `${root}/none`],
    ],
  ];
  for (const [words, expected] of rows)
    expect(pinned(["env", ...words], root, paths)).toEqual(["env", ...expected]);
  expect(pinnedSearchPaths({ PYTHONPATH: `${root}/current:src:`, HOME: `${root}/current` }, root)).toEqual({
    PYTHONPATH: `${one}:src:`,
  });
});

test("a Python that was started through a switched link still imports from its own release", () => {
  using dir = tempDir();
  const root = realpathSync(dir.path);
  for (const release of [1, 2]) {
    const site = `${root}/releases/${release}/venv`;
    expect(Bun.spawnSync(["/usr/bin/python3", "-m", "venv", "--without-pip", site]).exitCode).toBe(0);
    const packages = Bun.spawnSync([
      `${site}/bin/python`,
      "-c",
      "import site; print(site.getsitepackages()[0])",
    ]);
    writeFileSync(`${packages.stdout.toString().trim()}/dependency.py`, `RELEASE = ${release}\n`);
  }
  symlinkSync("releases/1", `${root}/current`);
  const late = `import os; os.unlink("current"); os.symlink("releases/2", "current"); import dependency; print(dependency.RELEASE)`;
  const run = (words: string[]) => Bun.spawnSync(words, { cwd: root }).stdout.toString().trim();
  expect(run(pinned([`${root}/current/venv/bin/python`, "-c", late], root))).toBe("1");
});
