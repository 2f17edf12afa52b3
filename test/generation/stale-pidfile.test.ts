/** The pid file that a killed generation has left: removed, but never one whose process may live. */
import { expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { removeStalePidfile } from "../../src/generation/stale-pidfile.ts";
import { tempDir } from "../harness/temp-dir.ts";

/** Its environment is its own when this returns: until then it would be the test's. */
async function living(env: Record<string, string>) {
  const child = Bun.spawn(["/bin/sh", "-c", "echo up; read _"], { env, stdio: ["pipe", "pipe", "inherit"] });
  await child.stdout.getReader().read();
  return child;
}

const MARKS = { HUPWATCH_PID: "1", HUPWATCH_GENERATION: "7" };

test.each<[holder: string, env: Record<string, string>, left: string[]]>([
  ["a stranger", { HOME: "/" }, []],
  ["another generation", { ...MARKS, HUPWATCH_GENERATION: "71" }, []],
  ["that generation", { HOME: "/", ...MARKS }, ["g.pid.7", "g.pid.7.2"]],
  ["a process whose environment tells nothing", {}, ["g.pid.7", "g.pid.7.2"]],
])("where %s has the pid", async (_, env, left) => {
  using dir = tempDir();
  await using process = await living(env);
  for (const name of ["g.pid.7", "g.pid.7.2"]) writeFileSync(`${dir.path}/${name}`, `${process.pid}\n`);
  removeStalePidfile(`${dir.path}/g.pid.7`, 7);
  expect(readdirSync(dir.path).sort()).toEqual(left);
});

test("where nobody has the pid", async () => {
  using dir = tempDir();
  const child = await living(MARKS);
  child.kill();
  await child.exited;
  for (const name of ["g.pid", "g.pid.7", "g.pid.8"]) writeFileSync(`${dir.path}/${name}`, `${child.pid}\n`);
  removeStalePidfile(`${dir.path}/g.pid.7`, 7);
  removeStalePidfile(`${dir.path}/none/g.pid.7`, 7);
  expect(readdirSync(dir.path).sort()).toEqual(["g.pid", "g.pid.8"]);
});

test.each<[what: string, make: (path: string) => void]>([
  ["a text", (path) => writeFileSync(path, "notes of 1999\n")],
  ["an empty file", (path) => writeFileSync(path, "")],
  ["a symlink", (path) => symlinkSync("target", path)],
  ["a directory", (path) => mkdirSync(path)],
])("%s is no pid file", (_, make) => {
  using dir = tempDir();
  writeFileSync(`${dir.path}/target`, "4194304999\n");
  make(`${dir.path}/g.pid.7`);
  removeStalePidfile(`${dir.path}/g.pid.7`, 7);
  expect(lstatSync(`${dir.path}/g.pid.7`)).toBeDefined();
});
