/**
 * What is run as another user, or as root without root's rights: nothing is started so but by what is here. Clone, HOME and
 * the runtime that npm brought are often below a directory of mode 0700 that only its owner may enter, so what runs is a copy.
 */
import { chmodSync, chownSync, copyFileSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { ROOT } from "../setup/places.ts";
import { tempDir } from "./temp-dir.ts";

export interface User {
  uid: number;
  gid: number;
}

/** Debian's nobody:nogroup. */
export const NOBODY: User = { uid: 65534, gid: 65534 };

const isRoot = process.getuid?.() === 0;
const POWERLESS = isRoot ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] : [];

/** False in a sandbox that does not even let root give up a right. */
export const canBePowerless: boolean = Bun.spawnSync([...POWERLESS, "true"], { stderr: "ignore" }).success;

/** The same user without a capability: root's own files stay readable. */
export const powerless = (command: readonly string[]): string[] => [...POWERLESS, ...command];

/** A launcher whose hupwatch is root as Docker's is by default: it may change the user, and look into nobody else's memory. */
export function launcherWithoutPtrace(directory: string, launcher: string): string {
  const path = `${directory}/without-ptrace`;
  const words = "exec setpriv --bounding-set=-sys_ptrace,-sys_admin --inh-caps=-all --";
  writeFileSync(path, `#!/bin/sh\n${words} '${launcher}' "$@"\n`, { mode: 0o755 });
  return path;
}

/** For root only: with that user's rights and no groups besides. */
export const asUser = ({ uid, gid }: User, command: readonly string[]): string[] => [
  ...(uid === 0 ? [] : ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"]),
  ...command,
];

/** A directory that a powerless program may look into and not write to. */
export function makeUnwritable(path: string): void {
  mkdirSync(path);
  if (isRoot) chownSync(path, NOBODY.uid, NOBODY.gid);
  chmodSync(path, 0o555);
}

export interface Copy extends Disposable {
  /** As the repository's, with all that runs in it and nothing else. */
  root: string;
  bun: string;
  launcher: string;
  /** Has the launcher take this runtime. */
  env: { HUPWATCH_BUN: string };
}

/** Compilers and types are no part of what runs, and are 50 times its size. */
const TOOLS = /node_modules\/(\.bin|@biomejs|@types?|@typescript|typescript|bun-types|undici-types)(\/|$)/;

/** hupwatch, the fixtures and their runtime where every user may read and execute them. */
export function copyForAll(): Copy {
  const dir = tempDir();
  const [root, bun] = [`${dir.path}/hupwatch`, `${dir.path}/bun`];
  for (const name of ["package.json", "src", "fixtures", "node_modules"])
    cpSync(`${ROOT}/${name}`, `${root}/${name}`, {
      recursive: true,
      filter: (source) => !TOOLS.test(source.slice(ROOT.length)),
    });
  copyFileSync(process.execPath, bun);
  const done = Bun.spawnSync(["chmod", "-R", "a+rX", dir.path]);
  if (!done.success) throw new Error(`chmod: ${done.stderr}`);
  const env = { HUPWATCH_BUN: bun };
  return {
    root,
    bun,
    launcher: `${root}/src/launcher.sh`,
    env,
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}
