/** hupwatch's sub-commands as a user calls them, beside a running one: same launcher, same run directory. */
import type { StatusAnswer } from "../../src/control/protocol.ts";
import { LAUNCHER } from "./hupwatch.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

export interface Said {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** A runtime directory of the test's own: what `startHupwatch` and `cli` share. */
export interface Home extends Disposable {
  path: string;
  env: Record<string, string>;
}

export function home(): Home {
  const dir: TempDir = tempDir();
  const env = { XDG_RUNTIME_DIR: dir.path, HUPWATCH_BUN: process.execPath };
  return { path: dir.path, env, [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

export async function cli(args: string[], home: Pick<Home, "env">, cwd = process.cwd()): Promise<Said> {
  return await said([LAUNCHER, ...args], home, cwd);
}

/** What a running one says of itself. On a machine that does much else an answer may be late, and is asked for again. */
export async function statusOf(name: string, home: Pick<Home, "env">): Promise<StatusAnswer> {
  const asked = async () => {
    const said = await cli(["status", name, "--json"], home);
    return said.exitCode !== NO_ANSWER && said;
  };
  const { stdout } = await until(asked, { what: `${name} to answer` });
  return (JSON.parse(stdout) as [StatusAnswer])[0];
}

/** Of `hupwatch status`: one did not answer. */
const NO_ANSWER = 3;

/** A script of the user's, in which `hupwatch` is on the PATH. stderr goes where stdout goes, as in a terminal. */
export async function shell(script: string, home: Pick<Home, "env">, cwd: string): Promise<Said> {
  const withHupwatch = `hupwatch() { "${LAUNCHER}" "$@"; }\nexec 2>&1\n${script}`;
  return await said(["/bin/sh", "-c", withHupwatch], home, cwd);
}

async function said(words: string[], { env }: Pick<Home, "env">, cwd: string): Promise<Said> {
  const child = Bun.spawn(words, {
    cwd,
    env: { ...process.env, ...env, PWD: cwd },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr };
}
