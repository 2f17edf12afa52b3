/** What setpriv(1) does before the command starts: it sets another user or group, and the parent's death signal. */
import { HupwatchError } from "../error.ts";
import { groupRow, groupsWith, numberIn, userRow } from "./accounts.ts";
import type { FileIdentity } from "./libc.ts";

export interface Account {
  user?: string | undefined;
  group?: string | undefined;
}

/** The one of util-linux; busybox's does not have the option. It is looked up once, and only if it is needed. */
let setpriv: string | null | undefined;

/** `setpriv`'s words for them. */
export function identityOptions({ user, group }: Account): string[] {
  if (user === undefined && group === undefined) return [];
  // A bare number that no account has belongs to no group.
  const groups = user !== undefined && userRow(user) ? ["--init-groups"] : ["--clear-groups"];
  const gid = group ?? (user === undefined ? undefined : primaryGroup(user));
  return [...(user ? ["--reuid", user] : []), ...(gid ? ["--regid", gid] : []), ...groups];
}

/** The user's own group; a bare number has the group of the same number. */
const primaryGroup = (user: string): string => userRow(user)?.[3] ?? user;

/** The same as what a process has over files. */
export function fileIdentityOf({ user, group }: Account): FileIdentity {
  const own = ownIdentity();
  const given = group === undefined ? undefined : numberIn(groupRow(group), group);
  if (user === undefined) return { uid: own.uid, gid: given ?? own.gid, groups: [] };
  const name = userRow(user)?.[0] ?? user;
  const primary = Number(primaryGroup(user));
  return {
    uid: numberIn(userRow(user), user) ?? own.uid,
    gid: group === undefined ? primary : (given ?? own.gid),
    groups: [primary, ...groupsWith(name)],
  };
}

export const ownIdentity = (): FileIdentity => ({
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
});

export function requireSetpriv(): string {
  if (canDieWithParent() && setpriv) return setpriv;
  throw new HupwatchError("command.no-setpriv", "--user and --group need setpriv, which is not installed", {
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

/** For `sh -c`, first of all: the parent, $1, may have died before the death signal was set, and then it would never be sent. */
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
      : "name one that 'getent passwd' and 'getent group' find",
  });
}
