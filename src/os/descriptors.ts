/**
 * Which sockets processes have open: /proc/PID/fd (proc(5)). A proxy may have tens of thousands, so they are read some hundred at a
 * time, without a string for each.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { close, directoryEntries, linkInto, openDirectory, SystemError } from "./libc.ts";
import { allProcesses, type Process } from "./procfs.ts";

/** Its sockets by inode, with a descriptor of each; none where it has ended or is another user's. */
export function socketsOf(pid: number): Map<string, number> {
  const sockets = new Map<string, number>();
  for (const fd of listOf(`/proc/${pid}/fd`)) {
    const target = linkOf(`/proc/${pid}/fd/${fd}`);
    if (target.startsWith("socket:[")) sockets.set(target.slice(8, -1), Number(fd));
  }
  return sockets;
}

/** The paths of what it has open, as proc(5) has them; none where it has ended or is another user's. */
export const openFilesOf = (pid: number): string[] =>
  listOf(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));

function listOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // what cannot be seen is not waited for
  }
}

/** A connection may be closed while its neighbours are looked at. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** Whether it still has that socket open by that number. */
export const hasSocket = (pid: number, fd: number, inode: number): boolean =>
  linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`;

/** All processes that have one of these sockets open, as far as we may look. */
export function holdersOf(inodes: readonly number[]): Process[] {
  const wanted = inodes.map(String);
  return allProcesses().filter(({ pid }) => {
    const sockets = socketsOf(pid);
    return wanted.some((inode) => sockets.has(inode));
  });
}

/** The number by which a process has that socket open; undefined where it does not have it open, or we may not look. */
export const descriptorOf = (pid: number, inode: number): number | undefined =>
  socketsOf(pid).get(String(inode));

/** struct linux_dirent64: d_ino, d_off, then d_reclen (2), d_type (1), d_name. */
const RECLEN_AT = 16;
const NAME_AT = 19;
const SOCKET = new TextEncoder().encode("socket:[");
const ZERO = 0x30;
const NINE = 0x39;

/** Visits each of its sockets with a descriptor of it, some hundred a slice. */
export function* visitSockets(
  pid: number,
  visit: (inode: number, fd: number) => void,
): Generator<void, void> {
  const directory = new TextEncoder().encode(`/proc/${pid}/fd/`);
  const path = new Uint8Array(directory.length + 16);
  path.set(directory);
  const [entries, target] = [new Uint8Array(4096), new Uint8Array(64)];
  let fd: number | undefined;
  try {
    fd = openDirectory(path);
    for (let bytes = directoryEntries(fd, entries); bytes > 0; bytes = directoryEntries(fd, entries)) {
      for (let at = 0; at < bytes; ) {
        let end = at + NAME_AT;
        while (entries[end] !== 0) end += 1;
        path.set(entries.subarray(at + NAME_AT, end + 1), directory.length);
        const inode = numberIn(target, SOCKET, linkInto(path, target));
        if (inode !== undefined)
          visit(inode, numberIn(path, directory, directory.length + end - at - NAME_AT) ?? -1);
        at += (entries[at + RECLEN_AT] ?? 0) | ((entries[at + RECLEN_AT + 1] ?? 0) << 8);
      }
      yield;
    }
  } catch (error) {
    // Ended meanwhile, or another user's: what cannot be seen is not waited for.
    if (!(error instanceof SystemError)) throw error;
  } finally {
    if (fd !== undefined) close(fd);
  }
}

/** N of `socket:[N]`, or of `/proc/PID/fd/N`: what stands behind this beginning. */
function numberIn(text: Uint8Array, beginning: Uint8Array, length: number): number | undefined {
  if (length <= beginning.length || beginning.some((byte, i) => text[i] !== byte)) return undefined;
  let number = 0;
  for (let i = beginning.length; i < length; i += 1) {
    const digit = text[i] ?? 0;
    if (digit < ZERO || digit > NINE) break;
    number = number * 10 + digit - ZERO;
  }
  return number;
}
