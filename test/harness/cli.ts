/** hupwatch's sub-commands as a user calls them, beside a running one: same launcher, same run directory. */
import { LAUNCHER } from "./hupwatch.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";

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
