/** A notification as the kernel writes it (struct seccomp_notif of linux/seccomp.h), and what its caller can be asked. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { type FileIdentity, withIdentity } from "../os/libc.ts";

/** A look into the memory that it was received in: good until the next one is. */
export class Notification {
  readonly #view: DataView;
  readonly id: bigint;
  /** The calling thread. */
  readonly tid: number;
  /** The system call's number. */
  readonly call: number;

  constructor(memory: DataView) {
    this.#view = memory;
    this.id = memory.getBigUint64(0, true);
    this.tid = memory.getUint32(8, true);
    this.call = memory.getInt32(16, true);
  }

  /** An argument that is an int: a descriptor, a length, a mode. */
  int(index: number): number {
    return this.#view.getInt32(FIRST_ARGUMENT + 8 * index, true);
  }

  /** An argument that is an address; those of user space fit into a number (2^47 and below, 2^52 on arm64). */
  address(index: number): number {
    const at = FIRST_ARGUMENT + 8 * index;
    return this.#view.getUint32(at, true) + 2 ** 32 * this.#view.getUint32(at + 4, true);
  }
}

const FIRST_ARGUMENT = 32;

/** PATH_MAX of linux/limits.h */
const MAX_PATH_BYTES = 4096;
const MOST_PATHS_BYTES = 256;
const BUFFER = Buffer.alloc(MAX_PATH_BYTES);

export const AT_FDCWD = -100;

/** The caller's path as we can open it, where `root` is its directory in /proc. */
export function resolvedIn(root: string, directory: number, path: string): string {
  if (path.startsWith("/")) return `${root}/root${path}`;
  return directory === AT_FDCWD ? `${root}/cwd/${path}` : `${root}/fd/${directory}/${path}`;
}

/** Our own rights, to go back to. */
const OWN: FileIdentity = {
  uid: process.geteuid?.() ?? 0,
  gid: process.getegid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
};

/** capabilities(7), by the kernel's numbers. */
const CAPABILITIES = { chown: 0, fowner: 3, "net-bind-service": 10 } as const;

/**
 * The thread that waits for an answer. All of it is read while it waits, and is good only if the notification is still valid
 * afterwards. Root in a container may not have CAP_SYS_PTRACE: what is refused to it is read with the rights of the caller.
 */
export class Caller {
  #identity: FileIdentity | undefined;
  #needsIdentity = false;

  constructor(readonly tid: number) {}

  /** Throws where the caller has gone, or cannot be read. */
  #reading<T>(read: () => T): T {
    if (this.#needsIdentity) return withIdentity(this.identity, OWN, read);
    try {
      return read();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (OWN.uid !== 0 || (code !== "EACCES" && code !== "EPERM")) throw error;
      this.#needsIdentity = true;
      return withIdentity(this.identity, OWN, read);
    }
  }

  /** Good until the next look: one buffer serves all, since a service may make many calls a second. */
  memory(address: number, bytes: number): Uint8Array {
    return this.#reading(() => {
      const fd = openSync(`/proc/${this.tid}/mem`, "r");
      try {
        return BUFFER.subarray(0, readSync(fd, BUFFER, 0, bytes, address));
      } finally {
        closeSync(fd);
      }
    });
  }

  path(address: number): string {
    const short = this.memory(address, MOST_PATHS_BYTES);
    const bytes = short.includes(0) ? short : this.memory(address, MAX_PATH_BYTES);
    const end = bytes.indexOf(0);
    return BUFFER.toString("utf8", 0, end < 0 ? bytes.length : end);
  }

  /** The number of the socket behind its descriptor; undefined where that is none. */
  socketInode(fd: number): number | undefined {
    try {
      const target = this.#reading(() => readlinkSync(`/proc/${this.tid}/fd/${fd}`));
      const found = /^socket:\[(\d+)\]$/.exec(target);
      return found ? Number(found[1]) : undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined; // it is not open
      throw error;
    }
  }

  /** Its descriptors of that socket. */
  numbersOf(inode: number): number[] {
    const names = this.#reading(() => readdirSync(`/proc/${this.tid}/fd`));
    return names.map(Number).filter((fd) => this.socketInode(fd) === inode);
  }

  /** A process waits for this very socket by epoll(7) already: a registration that goes with the open file. */
  isInEpoll(fd: number, inode: number): boolean {
    return this.#reading(() =>
      readdirSync(`/proc/${this.tid}/fd`).some((name) =>
        this.#epollTargets(name).some((target) => target.fd === fd && target.inode === inode),
      ),
    );
  }

  /** Of a descriptor that is none of epoll's, or that another thread has closed meanwhile: nothing. */
  #epollTargets(name: string): { fd: number; inode: number }[] {
    try {
      if (readlinkSync(`/proc/${this.tid}/fd/${name}`) !== "anon_inode:[eventpoll]") return [];
      const info = readFileSync(`/proc/${this.tid}/fdinfo/${name}`, "latin1");
      return [...info.matchAll(/^tfd:\s+(\d+) .*\bino:([0-9a-f]+)/gm)].map(([, target, ino = ""]) => ({
        fd: Number(target),
        inode: Number.parseInt(ino, 16),
      }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  /** Open flags, as fcntl(2) has them. */
  flags(fd: number): number {
    const info = this.#reading(() => readFileSync(`/proc/${this.tid}/fdinfo/${fd}`, "latin1"));
    return Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "0", 8);
  }

  /** Something of it in /proc that wants its rights. */
  look<T>(use: (root: string) => T): T {
    return this.#reading(() => use(`/proc/${this.tid}`));
  }

  /** Makes a file as it would be made by the caller: with its fsuid, its groups and its umask. */
  withItsRights<T>(make: () => T): T {
    const own = process.umask(this.#numbers("Umask", 8)[0] ?? 0o22);
    try {
      return withIdentity(this.identity, OWN, make);
    } finally {
      process.umask(own);
    }
  }

  #status: string | undefined;

  get #statusText(): string {
    this.#status ??= readFileSync(`/proc/${this.tid}/status`, "latin1");
    return this.#status;
  }

  #numbers(name: string, radix = 10): number[] {
    const line = new RegExp(`^${name}:\\s*(.*)$`, "m").exec(this.#statusText)?.[1] ?? "";
    return line
      .split(/\s+/)
      .filter(Boolean)
      .map((word) => Number.parseInt(word, radix));
  }

  /** Its process. */
  get pid(): number {
    return this.#numbers("Tgid")[0] ?? this.tid;
  }

  /** Its rights over files: fsuid, fsgid (the fourth of each line) and its groups. */
  get identity(): FileIdentity {
    this.#identity ??= {
      uid: this.#numbers("Uid")[3] ?? OWN.uid,
      gid: this.#numbers("Gid")[3] ?? OWN.gid,
      groups: this.#numbers("Groups"),
    };
    return this.#identity;
  }

  /** Whether it has this right, in effect. */
  isCapable(capability: keyof typeof CAPABILITIES): boolean {
    const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(this.#statusText)?.[1] ?? "0";
    return ((BigInt(`0x${line}`) >> BigInt(CAPABILITIES[capability])) & 1n) === 1n;
  }
}
