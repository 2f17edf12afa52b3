/** What is mounted where, as each mount namespace has it (proc_pid_mountinfo(5)). Throws what reading gives. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Mount {
  /** The file system, as `major:minor`. */
  device: string;
  /** What of the file system is mounted; ends with `//deleted` where that has no name any more. */
  root: string;
  /** Where it is. */
  at: string;
}

export function mountsOf(pid: number | "self"): Mount[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  return lines.map((line) => {
    const [, , device = "", root = "", at = ""] = line.split(" ");
    return { device, root: unescaped(root), at: unescaped(at) };
  });
}

/** Blanks, tabs, line ends and backslashes are written in octal. */
const unescaped = (field: string): string =>
  Buffer.from(
    field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
  ).toString();

/** A process of each mount namespace that may be looked at. */
export function mountNamespaces(): number[] {
  const found = new Map<string, number>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (!found.has(namespace)) found.set(namespace, pid);
    } catch {
      // It has ended, or is another user's.
    }
  }
  return [...found.values()];
}
