/** Waiting for conditions, and the small things every test needs one of: a directory, a port, a lasting mark. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as after } from "node:timers/promises";

export interface UntilOptions {
  /** Default a minute: what takes a second here takes thirty on a machine that does much else. It ends a test that would wait for ever. */
  timeoutMs?: number;
  /** Between two looks; default 5 ms. */
  everyMs?: number;
  /** What is waited for, in the words of the failure: `waited 30 s for ${what}`. */
  what: string;
  /** Added to the failure, e.g. the log so far. */
  context?: () => string;
}

type Truthy<T> = Exclude<T, false | 0 | "" | null | undefined>;

/** Looks until `look` returns something truthy, and returns that. Throws at the deadline. What `look` throws is not caught. */
export async function until<T>(look: () => T | Promise<T>, options: UntilOptions): Promise<Truthy<T>> {
  const { timeoutMs = 60_000, everyMs = 5, what, context } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen as Truthy<T>;
    if (performance.now() > deadline) {
      const more = context ? `\n${context()}` : "";
      throw new Error(`waited ${timeoutMs / 1000} s for ${what}${more}`);
    }
    await after(everyMs);
  }
}

export interface TempDir extends Disposable {
  path: string;
}

/** Right below /tmp whatever $TMPDIR says: the path of a Unix socket may have 107 bytes and no more. */
export function tempDir(): TempDir {
  const path = mkdtempSync("/tmp/hw-");
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A TCP port that was free a moment ago, on 127.0.0.1 unless said. For programs that cannot report the port they chose. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, fail) => server.once("error", fail).listen(0, host, done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error(`no port on ${host}`);
  await new Promise((done) => server.close(done));
  return address.port;
}
