/** Users by name and number. passwd(5). */
import { readFileSync } from "node:fs";

/** What a command of `--user` runs as; undefined where /etc/passwd does not have the name (a directory server may). */
export function uidOf(user: string | undefined): number | undefined {
  if (user === undefined) return process.getuid?.();
  const account = accounts().find(([name]) => name === user);
  if (account) return Number(account[2]);
  return /^\d+$/.test(user) ? Number(user) : undefined;
}

function accounts(): string[][] {
  try {
    return readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    return []; // an image without it; setpriv says what it needs
  }
}
