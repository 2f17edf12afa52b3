/** Users and groups by name and number: passwd(5), group(5). An image may have neither file. */
import { readFileSync } from "node:fs";

/** The fields of a line: name, password, number, then a user's group or a group's members. */
export type AccountRow = readonly string[];

export const userRow = (key: string): AccountRow | undefined => find("/etc/passwd", key);
export const groupRow = (key: string): AccountRow | undefined => find("/etc/group", key);

/** The numbers of the groups that name it as a member. */
export const groupsWith = (user: string): number[] =>
  rowsOf("/etc/group").flatMap((row) => (row[3]?.split(",").includes(user) ? [Number(row[2])] : []));

/** Undefined where it is neither a name that the file has (a directory server may) nor a number. */
export function numberIn(row: AccountRow | undefined, key: string): number | undefined {
  const id = row?.[2] ?? key;
  return isNumber(id) ? Number(id) : undefined;
}

/** What a command of `--user` runs as. */
export const uidOf = (user: string | undefined): number | undefined =>
  user === undefined ? process.getuid?.() : numberIn(userRow(user), user);

export const isNumber = (text: string): boolean => /^\d+$/.test(text);

/** A name comes before a number that is the same. */
function find(file: string, key: string): AccountRow | undefined {
  const rows = rowsOf(file);
  return rows.find((row) => row[0] === key) ?? rows.find((row) => row[2] === key && isNumber(key));
}

function rowsOf(file: string): string[][] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    return [];
  }
}
