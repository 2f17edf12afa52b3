/**
 * Who stands at a Unix socket's path, and by which names: the public one, the hidden ones beside it, links about to be
 * renamed. Looking, making and removing; what is steered where is held-unix.ts's business.
 */
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  realpathSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { bind, SystemError } from "../os/libc.ts";
import { environmentOf } from "../os/procfs.ts";
import { isName } from "../text.ts";
import { Probe } from "./probe.ts";
import { encode, MAX_UNIX_PATH_BYTES } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

/** Follows a symlink at the path itself, so that it goes on pointing at the socket; directories stay as written. */
export function throughLink(path: string): string {
  try {
    return lstatSync(path).isSymbolicLink() ? realpathSync(path) : path;
  } catch {
    return path;
  }
}

/** Hidden, in the same directory (rename must not cross file systems), and ours by our pid. */
export function privateName(
  path: string,
  generation: number,
  owner: string = process.pid.toString(36),
): string {
  const [long, short] = privatePrefixes(path).map((prefix) => `${prefix}${owner}-${generation}`) as [
    string,
    string,
  ];
  // One byte is kept for the `~` of the link that rename moves.
  return Buffer.byteLength(long) < MAX_UNIX_PATH_BYTES ? long : short;
}

/** Several sockets of one directory need a name each, also where there is no room for their own. */
const privatePrefixes = (path: string): [long: string, short: string] => [
  join(dirname(path), `.${basename(path)}.hupwatch-`),
  join(dirname(path), `.hw${Bun.hash.crc32(basename(path)).toString(36)}-`),
];

/** What a hupwatch has left that was killed between two calls: links about to be renamed, names nobody listens behind. */
export function removeDeadNames(path: string, inUse: string | undefined): void {
  const prefixes = privatePrefixes(path);
  for (const entry of readdirSync(dirname(path))) {
    const name = join(dirname(path), entry);
    if (name === inUse || !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    if (name.endsWith("~") || !liveListener(name)) removeStale(name);
  }
}

/** Takes away what a listener that is no longer wanted has on disk: its own name, and the public path if that leads to it. */
export function removeNames(address: string, privatePath: string): void {
  const inode = statOrUndefined(privatePath)?.ino;
  if (inode === undefined) return;
  if (address.startsWith(UNIX)) unlinkIfOurs(address.slice(UNIX.length), inode);
  removeStale(privatePath);
}

/** As `format` writes it. */
const UNIX = "unix:";

/** A directory too deep for sun_path is reached through its descriptor (/proc/self/fd, proc(5)). */
function viaShortPath<T>(path: string, use: (path: string) => T): T {
  if (Buffer.byteLength(path) <= MAX_UNIX_PATH_BYTES) return use(path);
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return use(`/proc/self/fd/${directory}/${basename(path)}`);
  } finally {
    closeSync(directory);
  }
}

export const bindBeside = (fd: number, path: string) =>
  viaShortPath(path, (short) => bind(fd, encode({ family: "unix", path: short })));

export const connectBeside = (path: string) => viaShortPath(path, (short) => Probe.unix(short));

export function checkDirectory(spec: SocketSpec, directory: string): void {
  try {
    if (!statOrUndefined(`${directory}/.`))
      throw new HupwatchError("bind.no-directory", `cannot bind '${spec.text}': no directory ${directory}`, {
        hint: `mkdir -p ${directory}`,
      });
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if (cause instanceof HupwatchError) throw cause;
    const [why, hint] =
      (cause as NodeJS.ErrnoException).code === "EROFS"
        ? ["is on a read-only file system", "mount it writable"]
        : ["is not writable", `let user ${process.getuid?.()} write to ${directory}`];
    throw new HupwatchError("bind.forbidden", `cannot bind '${spec.text}': ${directory} ${why}`, {
      hint: `${hint}, or choose another directory`,
      cause,
    });
  }
}

/** Throws HupwatchError where no new socket could be put there. */
export function requirePlace(spec: SocketSpec, path: string): void {
  checkDirectory(spec, dirname(path));
  rejectOccupied(spec, path);
}

/** Throws where the path is no socket, or a live one of somebody else. Finding out costs one connect. */
export function rejectOccupied(spec: SocketSpec, path: string): void {
  const stat = statOrUndefined(path);
  if (!stat) return;
  if (!stat.isSocket())
    throw new HupwatchError(
      "bind.not-a-socket",
      `cannot bind '${spec.text}': ${path} exists and is no socket`,
      {
        hint: "remove it or choose another path",
      },
    );
  const owner = liveListener(path);
  if (!owner) return;
  const who = owner.pid === undefined ? "a process" : `process ${owner.pid}`;
  throw new HupwatchError("bind.in-use", `cannot bind '${spec.text}': ${who} listens on it`, {
    hint: wayOut(environmentOf(owner.pid ?? 0)),
  });
}

/** `environment` is that of who listens, and says what it likes: no name is shown that --name would not take. */
function wayOut(environment: readonly string[]): string {
  const variable = (name: string) =>
    environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
  const name = variable("HUPWATCH_NAME");
  if (!name || !isName(name))
    return "end that process or choose another path; hupwatch never takes a live socket away from anybody";
  const pid = Number(variable("HUPWATCH_PID"));
  // The launcher tells a hupwatch from a stranger that has its number by now.
  if (environmentOf(pid).some((entry) => entry.startsWith("HUPWATCH_LAUNCHER=")))
    return `it serves for hupwatch '${name}', which runs as process ${pid}: 'hupwatch stop ${name}' ends both, or choose another path`;
  return `it serves for hupwatch '${name}', of which this start finds no notes: give the --run-dir that one had, or end the process`;
}

/** Undefined where the socket is a dead leftover. Of a backlog that is full not even the pid is to be had. */
function liveListener(path: string): { pid: number | undefined } | undefined {
  try {
    using probe = connectBeside(path);
    return { pid: probe.peerPid() };
  } catch (error) {
    const dead = error instanceof SystemError && (error.errno === "ECONNREFUSED" || error.errno === "ENOENT");
    return dead ? undefined : { pid: undefined };
  }
}

export function removeStale(path: string): void {
  if (statOrUndefined(path)?.isSocket()) unlinkSync(path);
}

export function unlinkIfOurs(path: string, inode: number): void {
  if (statOrUndefined(path)?.ino === inode) unlinkSync(path);
}

export function statOrUndefined(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENOTDIR: a file stands where a directory should be.
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
