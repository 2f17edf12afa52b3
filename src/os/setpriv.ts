/** What setpriv(1) does between us and the command: another user or group, and the parent's death signal. */
import { readFileSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import type { FileIdentity } from "./libc.ts";

export interface Account {
  user?: string | undefined;
  group?: string | undefined;
}

/** util-linux's; busybox has one without the option. Looked for once, and only where it is wanted. */
let setpriv: string | null | undefined;

/** `setpriv`'s words for them. */
export function identityOptions({ user, group }: Account): string[] {
  if (user === undefined && group === undefined) return [];
  const groups = user === undefined ? ["--clear-groups"] : ["--init-groups"];
  const gid = group ?? (user === undefined ? undefined : primaryGroup(user));
  return [...(user ? ["--reuid", user] : []), ...(gid ? ["--regid", gid] : []), ...groups];
}

/** The group that the user has in /etc/passwd; a bare number has the group of the same number. */
const primaryGroup = (user: string): string => rowOf("/etc/passwd", user)?.[3] ?? user;

/** The same as what a process has over files. */
export function fileIdentityOf({ user, group }: Account): FileIdentity {
  const own = ownIdentity();
  if (user === undefined) return { uid: own.uid, gid: idOf("/etc/group", group) ?? own.gid, groups: [] };
  const name = rowOf("/etc/passwd", user)?.[0] ?? user;
  const member = rowsOf("/etc/group").filter((row) => row[3]?.split(",").includes(name));
  const gid = group === undefined ? Number(primaryGroup(user)) : (idOf("/etc/group", group) ?? own.gid);
  return {
    uid: idOf("/etc/passwd", user) ?? own.uid,
    gid,
    groups: [Number(primaryGroup(user)), ...member.map((row) => Number(row[2]))],
  };
}

export const ownIdentity = (): FileIdentity => ({
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
});

const rowsOf = (file: string): string[][] =>
  readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.split(":"));

const rowOf = (file: string, key: string): string[] | undefined => {
  const rows = rowsOf(file);
  return rows.find((row) => row[0] === key) ?? rows.find((row) => row[2] === key);
};

const idOf = (file: string, key: string | undefined): number | undefined => {
  const id = key === undefined ? undefined : (rowOf(file, key)?.[2] ?? key);
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
};

export function requireSetpriv(): string {
  if (canDieWithParent() && setpriv) return setpriv;
  throw new HupwatchError("command.no-setpriv", "--user and --group need setpriv, and it is not here", {
    hint: "install util-linux",
  });
}

/** Whether the kernel can be asked to end the command with us. PID 1 needs not ask: its namespace ends with it. */
export function canDieWithParent(): boolean {
  if (setpriv === undefined) {
    const found = Bun.which("setpriv");
    const asked = found && Bun.spawnSync([found, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", ":"]);
    setpriv = asked && asked.exitCode === 0 ? found : null;
  }
  return setpriv !== null;
}

/** For `sh -c`, first of all: the parent, $1, may have died before the death signal was set, and then nobody would ever send it. */
export const UNLESS_ORPHANED = '[ "$PPID" = "$1" ] || kill -9 $$; shift;';

/** Words of a program that gets the signal when we die, however we do; where the kernel cannot be asked for it, the words alone. */
export function signalledWhenWeDie(signal: "QUIT", words: string[]): string[] {
  if (!canDieWithParent() || !setpriv) return words;
  const shell = ["/bin/sh", "-c", `${UNLESS_ORPHANED} exec "$@"`, "sh", String(process.pid)];
  return [setpriv, "--pdeathsig", signal, "--", ...shell, ...words];
}

/** Throws HupwatchError where this user may not start `word` as another one: tried at once, by starting nothing as that one. */
export function requireIdentity(word: string, { user, group }: Account): void {
  const options = identityOptions({ user, group });
  if (options.length === 0) return;
  const { success, stderr } = Bun.spawnSync([requireSetpriv(), ...options, "--", "/bin/sh", "-c", ":"], {
    env: { ...process.env, LC_ALL: "C" },
  });
  if (success) return;
  const asked = Object.entries({ user, group }).flatMap(([name, value]) =>
    value ? [`--${name} ${value}`] : [],
  );
  const why = stderr
    .toString()
    .trim()
    .replace(/^setpriv: /, "")
    .split("\n")[0];
  throw new HupwatchError("command.identity", `cannot run '${word}' with ${asked.join(" ")}: ${why}`, {
    hint: why?.endsWith("Operation not permitted")
      ? "start hupwatch as root (or with CAP_SETUID and CAP_SETGID), or leave it out"
      : "name one that /etc/passwd and /etc/group have",
  });
}
