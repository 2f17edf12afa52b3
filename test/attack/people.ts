/**
 * The people of the threat model (src/os/README.md): root runs hupwatch, the command runs as `APP`, and `STRANGER` has nothing to do
 * with either. The repository may lie where they cannot look, so what they run is copied to a place of theirs.
 */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { asUser, NOBODY, type User } from "../harness/another-user.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { PYTHON } from "../setup/places.ts";

export type Person = User;

export const ROOT_USER: Person = { uid: 0, gid: 0 };
export const APP: Person = NOBODY;
/** /etc/passwd does not have it. */
export const STRANGER: Person = { uid: 12345, gid: 12345 };

/** False without root, and in a sandbox that does not let root change its user: the tests are skipped then, and counted. */
export const hasPeople: boolean =
  process.getuid?.() === 0 && Bun.spawnSync(asUser(STRANGER, ["true"]), { stderr: "ignore" }).success;

export interface Ran {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** A program of that person's, to its end. */
export function runAs(person: Person, command: readonly string[], cwd = "/tmp"): Ran {
  const { exitCode, stdout, stderr } = Bun.spawnSync(asUser(person, command), { cwd, stdin: "ignore" });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** A script of that person's, which must succeed. Python, since it has every call and starts at once. */
export function pythonAs(person: Person, script: string, ...args: string[]): string {
  const { exitCode, stdout, stderr } = runAs(person, [PYTHON, "-c", script, ...args]);
  if (exitCode !== 0) throw new Error(`uid ${person.uid} could not: ${stderr}`);
  return stdout.trim();
}

/** One that goes on running; its stdin closes at the end, and it is killed. */
export function startAs(person: Person, command: readonly string[], env: Record<string, string> = {}) {
  const child = Bun.spawn(asUser(person, command), {
    cwd: "/tmp",
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  return {
    pid: child.pid,
    /** Resolves with what it says first. */
    said: async () => Buffer.from((await child.stdout.getReader().read()).value ?? []).toString(),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

export interface Ground extends Disposable {
  path: string;
  /** A directory in it; returns its path. */
  directory(name: string, owner: Person, mode?: number): string;
  /** A file in it; returns its path. */
  file(name: string, owner: Person, text: string, mode?: number): string;
}

/** A directory that all may enter, and root alone may write to. */
export function ground(): Ground {
  const dir = tempDir();
  chmodSync(dir.path, 0o755);
  const give = (path: string, { uid, gid }: Person, mode: number): string => {
    chownSync(path, uid, gid);
    chmodSync(path, mode);
    return path;
  };
  return {
    path: dir.path,
    directory(name, owner, mode = 0o755) {
      mkdirSync(`${dir.path}/${name}`);
      return give(`${dir.path}/${name}`, owner, mode);
    },
    file(name, owner, text, mode = 0o644) {
      writeFileSync(`${dir.path}/${name}`, text);
      return give(`${dir.path}/${name}`, owner, mode);
    },
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/**
 * A server of nothing but Python's own modules: takes LISTEN_FDS, else binds the path that its first word names, and answers
 * every request with its generation's number.
 */
export const SERVER = `
import os, socket, sys
if "LISTEN_FDS" in os.environ:
    s = socket.socket(fileno=3)
else:
    s = socket.socket(socket.AF_UNIX)
    s.bind(sys.argv[1])
    s.listen(64)
s.setblocking(True)
body = os.environ["HUPWATCH_GENERATION"].encode()
while True:
    c, _ = s.accept()
    c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    c.close()
`;
