/**
 * Reads what a generation writes, without delaying it. Its stderr (or stdout) becomes a pipe, which tee(1) copies to our own stderr and
 * to us. The tee belongs to the generation and outlives hupwatch; otherwise the server's log pipe would break when hupwatch dies. When
 * the output is no longer captured, tee goes on without us (--output-error=warn-nopipe).
 */

import { fchmodSync, fstatSync, realpathSync } from "node:fs";
import { type Clock, pollPatiently } from "./clock.ts";
import { close, pipe, readAvailable } from "./libc.ts";
import { TEE } from "./process-names.ts";
import type { Account } from "./setpriv.ts";
import { startAs } from "./spawn.ts";

/** Lines longer than this are cut; binary noise must not fill the memory. */
const MAX_LINE = 2000;
/** The pipe holds a megabyte meanwhile. The runtime's own streams cannot be closed while they wait for more. */
const LOOK_MS = 10;
/**
 * After this time a look begins no further read. A flood that is faster than we read has no end, and no signal and no deadline of
 * hupwatch would ever be handled. While the pipe is full, its writers wait.
 */
const BUSY_MS = 2;
const CHUNK_BYTES = 64 * 1024;

export interface Tap extends Disposable {
  /** The descriptor for the command; `begin` closes it here. */
  readonly descriptor: number;
  /** All that was written has been read: every writer has ended. */
  readonly isOver: boolean;
  /** Once the command has its descriptor. Calls back for every line until disposed of. */
  begin(tee: TeeStart, line: (text: string) => void): void;
}

/** tee is ours and acts for the command: with our environment and the generation's marks, with the command's rights. */
export interface TeeStart {
  account: Account;
  env: Record<string, string>;
  keptOpen: readonly number[];
}

/** The number of a descriptor of our own: stdout, stderr. */
export type Output = 1 | 2;

/**
 * stdout and stderr are the same file, pipe or socket, and its reader sees the order of what is written. /dev/null has no reader, and a
 * terminal is not copied.
 */
export function hasOneOutput(): boolean {
  try {
    const [out, err] = [fstatSync(1), fstatSync(2)];
    return out.dev === err.dev && out.ino === err.ino && !out.isCharacterDevice();
  } catch {
    return false; // one of them is closed
  }
}

let found: string | null | undefined;

/** busybox's tee does not have the option that keeps it alive without us. */
export const canTap = (): boolean => tee() !== null;

/** Its path, by our PATH: the command's PATH must not choose it. */
function tee(): string | null {
  if (found === undefined) {
    const path = Bun.which(TEE);
    found = path !== null && !realpathSync(path).endsWith("busybox") ? path : null;
  }
  return found;
}

/** `target`: where the bytes go on to. */
export function openTap(target: Output, clock: Clock): Tap {
  const fromCommand = pipe();
  const toUs = pipe();
  // Its only name is below /proc/PID/fd of a process that has it open, which only that user can enter: it may be opened anew by
  // that name (/dev/stderr, /dev/fd/3).
  for (const fd of [fromCommand.write, toUs.write]) fchmodSync(fd, 0o666);
  const open = new Set([fromCommand.read, fromCommand.write, toUs.read, toUs.write]);
  const shut = (fd: number) => open.delete(fd) && close(fd);
  let reading: Reading | undefined;
  return {
    descriptor: fromCommand.write,
    get isOver() {
      return reading === undefined || reading.isOver();
    },
    begin({ account, env, keptOpen }, line) {
      const stdio = [fromCommand.read, target, "ignore", toUs.write, ...keptOpen] as const;
      startAs(account, [tee() ?? TEE, "--output-error=warn-nopipe", "/dev/fd/3"], { stdio, env });
      for (const fd of [fromCommand.read, fromCommand.write, toUs.write]) shut(fd);
      reading = readLines(toUs.read, clock, line);
    },
    [Symbol.dispose]: () => {
      reading?.[Symbol.dispose]();
      reading = undefined;
      for (const fd of [...open]) shut(fd);
    },
  };
}

interface Reading extends Disposable {
  /** Takes a look, too. */
  isOver(): boolean;
}

/**
 * Looks every few milliseconds and reads what it can in a short time. Disposing takes a last look, unless it happens during one: the line
 * that makes a generation ready disposes of it, and then the descriptor is closed (or belongs to something else) when that look goes on.
 */
function readLines(fd: number, clock: Clock, line: (text: string) => void): Reading {
  const buffer = new Uint8Array(CHUNK_BYTES);
  const decoder = new TextDecoder();
  let rest = "";
  let isOver = false;
  let isBusy = false;
  let isDisposed = false;
  const look = (): "more" | "news" | "enough" => {
    if (isBusy) return "more";
    isBusy = true;
    let isNew = false;
    const endAt = clock.now() + BUSY_MS;
    for (let isLate = false; !isOver && !isDisposed && !isLate; isLate = clock.now() >= endAt) {
      const n = readAvailable(fd, buffer);
      if (n === undefined) break;
      isNew = true;
      isOver = n === 0;
      const parts = (rest + decoder.decode(buffer.subarray(0, n), { stream: true })).split("\n");
      rest = (parts.pop() ?? "").slice(0, MAX_LINE);
      for (const part of parts) if (!isDisposed) line(part.slice(0, MAX_LINE));
    }
    isBusy = false;
    if (isOver) return "enough";
    return isNew ? "news" : "more";
  };
  const looking = pollPatiently(clock, LOOK_MS, look);
  return {
    isOver: () => look() === "enough",
    [Symbol.dispose]: () => {
      looking[Symbol.dispose]();
      look();
      isDisposed = true;
    },
  };
}
