/**
 * One look at the processes of the machine: the list is read once, and each process at most once, when it is needed. What never changes is
 * remembered from look to look. A process has its own inode in /proc as long as it lives (fs/proc/base.c, proc_pid_make_inode and
 * proc_flush_pid), which is in the list: pid and inode together identify a process, as pid and start time do.
 */
import { close, directoryEntries, openDirectory } from "./libc.ts";
import { environmentOf, type Process, processOf } from "./procfs.ts";

/** In the order of the pids, as the kernel lists them. */
interface Listed {
  pids: number[];
  inodes: number[];
  /** In clock ticks since boot; endless where it was not read yet. */
  starts: number[];
}

let last: Listed = { pids: [], inodes: [], starts: [] };

/** A process of the list, by the two numbers that name it. */
export type Skip = (pid: number, inode: number) => boolean;

/** A process, and its environment as it was started with it. */
export interface Marked {
  process: Process;
  environment: readonly string[];
}

export class Look {
  #listed: Listed | undefined;
  readonly #processes = new Map<number, Process | undefined>();
  readonly #environments = new Map<number, readonly string[]>();

  /** How many processes the machine has. Throws SystemError. */
  get size(): number {
    return this.#list().pids.length;
  }

  /** Those that began at that clock tick or later, and are not skipped. Throws SystemError. */
  since(startTime: number, isSkipped: Skip = () => false): { process: Process; inode: number }[] {
    const { pids, inodes, starts } = this.#list();
    const found: { process: Process; inode: number }[] = [];
    for (let i = 0; i < pids.length; i++) {
      const [pid = 0, inode = 0] = [pids[i], inodes[i]];
      if ((starts[i] ?? 0) < startTime || isSkipped(pid, inode)) continue;
      const process = this.processOf(pid);
      if (!process) continue;
      starts[i] = process.startTime;
      if (process.startTime >= startTime) found.push({ process, inode });
    }
    return found;
  }

  /** Those whose environment has that line; of a mark that ends with `=`, one that begins so. Throws SystemError. */
  marked(mark: string): Marked[] {
    const isMark = (line: string) => (mark.endsWith("=") ? line.startsWith(mark) : line === mark);
    return this.#list().pids.flatMap((pid) => {
      const environment = this.environmentOf(pid);
      const process = environment.some(isMark) ? this.processOf(pid) : undefined;
      return process ? [{ process, environment }] : [];
    });
  }

  processOf(pid: number): Process | undefined {
    if (!this.#processes.has(pid)) this.#processes.set(pid, processOf(pid));
    return this.#processes.get(pid);
  }

  environmentOf(pid: number): readonly string[] {
    const known = this.#environments.get(pid);
    if (known) return known;
    const environment = environmentOf(pid);
    this.#environments.set(pid, environment);
    return environment;
  }

  #list(): Listed {
    if (!this.#listed) {
      this.#listed = list(last);
      last = this.#listed;
    }
    return this.#listed;
  }
}

const PROC = new TextEncoder().encode("/proc\0");
/** struct linux_dirent64 (getdents64(2)): d_ino (8), d_off (8), d_reclen (2), d_type (1), d_name. */
const RECLEN_AT = 16;
const NAME_AT = 19;
const ZERO = 0x30;
const NINE = 0x39;
const BUFFER_BYTES = 32_768;

/** Without a string for each name. What `before` knows of a process that is still there is kept. */
function list(before: Listed): Listed {
  const now: Listed = { pids: [], inodes: [], starts: [] };
  const entries = new DataView(new ArrayBuffer(BUFFER_BYTES));
  const bytes = new Uint8Array(entries.buffer);
  const fd = openDirectory(PROC);
  try {
    let then = 0;
    for (let filled = directoryEntries(fd, bytes); filled > 0; filled = directoryEntries(fd, bytes))
      for (let at = 0; at < filled; at += entries.getUint16(at + RECLEN_AT, true)) {
        const pid = numberAt(bytes, at + NAME_AT);
        if (pid === undefined) continue;
        const inode = Number(entries.getBigUint64(at, true));
        while ((before.pids[then] ?? pid) < pid) then += 1;
        const isSame = inode !== 0 && before.pids[then] === pid && before.inodes[then] === inode;
        now.pids.push(pid);
        now.inodes.push(inode);
        now.starts.push((isSame ? before.starts[then] : undefined) ?? Number.POSITIVE_INFINITY);
      }
  } finally {
    close(fd);
  }
  return now;
}

/** Of a name that ends with NUL; undefined where it is not a number. */
function numberAt(bytes: Uint8Array, at: number): number | undefined {
  let number = 0;
  for (let i = at; bytes[i] !== 0; i += 1) {
    const digit = bytes[i] ?? 0;
    if (digit < ZERO || digit > NINE) return undefined;
    number = number * 10 + digit - ZERO;
  }
  return number;
}
