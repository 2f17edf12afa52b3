/**
 * An address that the command line does not name: the keeper makes the socket in the place of the command's own, with no more rights
 * than the command has, and listens when the command does. hupwatch takes it over from there, as it does a survivor's.
 *
 * Not learned: what has no fixed address (port 0, UDP, an abstract name that cannot be written), and what the next generation makes anew: sockets below a directory that the generation has
 * made itself (multiprocessing, agents), names with the process's own number.
 */
import { linkSync, lstatSync, readFileSync, readlinkSync, realpathSync, statSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { bind, close, isIPv6Only, setFlag, setIPv6Only, setNoDelay, socket } from "../os/libc.ts";
import { setOption } from "../os/libc-intercept.ts";
import { encode, type InetAddress, type SocketAddress } from "../sockets/sockaddr.ts";
import { privateName } from "../sockets/unix-path.ts";
import { V6ONLY } from "./calls.ts";
import type { Caller } from "./notification.ts";
import type { Given, RecordedOption } from "./table.ts";

export interface Learning {
  generation: number;
  /** Of the accept queue. */
  backlog: number;
  /** When the generation was started, in the time of file systems. */
  startedAtMs: number;
  /** So many are learned that no further ones are, which has been said. */
  isFull?: boolean;
}

/** It has a fixed address, of a kind that can be held. */
export function isLearnable(address: SocketAddress, protocol: string): boolean {
  if ("port" in address) return /^(MP)?TCP/.test(protocol) && address.port !== 0;
  return protocol === "UNIX-STREAM" && (address.family === "unix" || WRITABLE_NAME.test(address.name));
}

/** An abstract name is any bytes; one that cannot be written as a word would not come back from a state file or `--bind` as it was. */
const WRITABLE_NAME = /^[!-~]+$/;

/** The listener-to-be, bound; undefined where it is not ours to learn. Throws SystemError as the command's own bind would. */
export function learn(
  address: SocketAddress,
  options: readonly RecordedOption[],
  caller: Caller,
  learning: Learning,
): Given | undefined {
  if (!sharesOurWorld(caller)) return undefined;
  switch (address.family) {
    case "inet":
    case "inet6":
      return learnPort(address, options, caller);
    case "unix":
      return learnPath(address.path, caller, learning);
    case "abstract":
      return learnName(address);
  }
}

/** Another root, network or mount namespace means other addresses by the same names. */
const sharesOurWorld = (caller: Caller): boolean =>
  caller.look((root) => {
    const isSame = (name: string) => readlinkSync(`${root}/${name}`) === readlinkSync(`/proc/self/${name}`);
    return isSame("ns/net") && isSame("ns/mnt") && isSame("root");
  });

function learnPort(address: InetAddress, options: readonly RecordedOption[], caller: Caller): Given {
  if (address.port < firstFreePort() && !caller.isCapable("net-bind-service")) throw refused("EACCES");
  const fd = socket(address.family);
  try {
    setFlag(fd, "reuseaddr");
    setNoDelay(fd);
    for (const { level, option, value } of options) {
      if (level === V6ONLY.level) {
        if (value.some(Boolean)) setIPv6Only(fd);
      } else setOption(fd, level, option, value);
    }
    // Without SO_REUSEPORT, so that the kernel refuses what a stranger listens on; with it from then on, for the next generation.
    bind(fd, encode(address));
    setFlag(fd, "reuseport");
    return given(address, fd, { ipv6Only: address.family === "inet6" && isIPv6Only(fd) });
  } catch (error) {
    close(fd);
    throw error;
  }
}

function firstFreePort(): number {
  try {
    return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "latin1"));
  } catch {
    return 1024;
  }
}

/** Bound beside and linked to the public path: so the next generation's can take its place by a rename. */
function learnPath(written: string, caller: Caller, learning: Learning): Given | undefined {
  const directory = caller.look((root) =>
    realpathSync(written.startsWith("/") ? dirname(written) : join(`${root}/cwd`, dirname(written))),
  );
  if (statSync(directory).birthtimeMs >= learning.startedAtMs) return undefined;
  if (isOfOneProcess(basename(written), caller.pid)) return undefined;
  const path = join(directory, basename(written));
  const privatePath = privateName(path, learning.generation);
  return caller.withItsRights(() => {
    // The kernel says so before it asks whether the caller may write there.
    if (lstatSync(path, { throwIfNoEntry: false })) throw refused("EADDRINUSE");
    const fd = socket("unix");
    try {
      bind(fd, encode({ family: "unix", path: privatePath }));
      try {
        linkSync(privatePath, path);
      } catch (error) {
        unlinkSync(privatePath);
        throw (error as NodeJS.ErrnoException).code === "EEXIST" ? refused("EADDRINUSE") : error;
      }
      return { ...given({ family: "unix", path }, fd), alsoAt: [], privatePath };
    } catch (error) {
      close(fd);
      throw error;
    }
  });
}

/** An abstract name has no owner: the first bind gets it. All generations share it, since no other socket can take its place. */
function learnName(address: SocketAddress): Given {
  const fd = socket("unix");
  try {
    bind(fd, encode(address));
    return given(address, fd);
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** It has the process's own number in it: the next one makes another name (HAProxy: PATH.PID.tmp, Java: .java_pidPID). */
const isOfOneProcess = (name: string, pid: number): boolean => name.split(/\D+/).includes(`${pid}`);

const given = (address: SocketAddress, fd: number, { ipv6Only } = { ipv6Only: false }): Given => ({
  address,
  alsoAt: [],
  fd,
  inode: statSync(`/proc/self/fd/${fd}`).ino,
  ipv6Only,
  isBound: true,
  isListening: false,
  isLearned: true,
});

/** What the command is answered. */
export class Refused extends Error {
  constructor(readonly errno: "EACCES" | "EADDRINUSE") {
    super(errno);
  }
}

const refused = (errno: "EACCES" | "EADDRINUSE"): Refused => new Refused(errno);
