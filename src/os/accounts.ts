/**
 * Users and groups by name and number. The files come first (passwd(5), group(5); an image may have neither), then whatever else
 * the system has for them (nsswitch.conf(5): LDAP, systemd-userdbd, sssd): getent(1) and id(1) ask it, with our own environment.
 */
import { readFileSync } from "node:fs";

/** The fields of a line: name, password, number, then a user's group, comment, home and shell, or a group's members. */
export type AccountRow = readonly string[];

export const userRow = (key: string): AccountRow | undefined => find("passwd", key);
export const groupRow = (key: string): AccountRow | undefined => find("group", key);

/** The numbers of the groups that have it as a member, by its name. */
export function groupsWith(user: string): number[] {
  if (!isInFilesOnly("group")) {
    const answer = ask("id", "-G", user);
    if (answer !== undefined) return answer.split(/\s+/).filter(isNumber).map(Number);
  }
  return rowsOf("group").flatMap((row) => (row[3]?.split(",").includes(user) ? [Number(row[2])] : []));
}

/** Undefined where it is neither a known name nor a number. */
export function numberIn(row: AccountRow | undefined, key: string): number | undefined {
  const id = row?.[2] ?? key;
  return isNumber(id) ? Number(id) : undefined;
}

/** What a command of `--user` runs as. */
export const uidOf = (user: string | undefined): number | undefined =>
  user === undefined ? process.getuid?.() : numberIn(userRow(user), user);

export const isNumber = (text: string): boolean => /^\d+$/.test(text);

type Database = "passwd" | "group";

/** What getent(1) has found: a directory server may be far. */
const found = new Map<string, AccountRow>();

/** A name comes before a number that is the same. */
function find(database: Database, key: string): AccountRow | undefined {
  const rows = rowsOf(database);
  const row = rows.find(([name]) => name === key) ?? rows.find((row) => row[2] === key && isNumber(key));
  if (row || isInFilesOnly(database)) return row;
  const id = `${database} ${key}`;
  const known = found.get(id) ?? ask("getent", "--", database, key)?.split("\n")[0]?.split(":");
  if (known) found.set(id, known);
  return known;
}

function rowsOf(database: Database): string[][] {
  return (read(`/etc/${database}`) ?? "").split("\n").map((line) => line.split(":"));
}

/** Nothing but the file is asked on this machine. musl has no nsswitch.conf and no other source. */
function isInFilesOnly(database: Database): boolean {
  const sources =
    new RegExp(`^${database}:(.*)$`, "m").exec(read("/etc/nsswitch.conf") ?? "")?.[1] ?? "files";
  return sources
    .replace(/\[[^\]]*\]/g, " ")
    .trim()
    .split(/\s+/)
    .every((source) => source === "files");
}

/** Undefined where it does not know, or is not there. */
function ask(program: string, ...words: string[]): string | undefined {
  const path = Bun.which(program);
  if (path === null) return undefined;
  const { success, stdout } = Bun.spawnSync([path, ...words], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: ASK_MS,
  });
  return success ? stdout.toString() : undefined;
}

const ASK_MS = 10_000;

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
