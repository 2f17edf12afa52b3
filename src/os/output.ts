/**
 * A look at what a generation writes, without standing in its way. Its stderr (or stdout) becomes a pipe that tee(1)
 * copies to our own and to us. tee belongs to the generation and outlives hupwatch: a server whose log pipe breaks would
 * die with us. When nobody wants to look any more, tee goes on without us (--output-error=warn-nopipe).
 */
import { closeSync } from "node:fs";
import { pipe } from "./libc.ts";
import { startOwn } from "./spawn.ts";

/** Lines longer than this are cut; binary noise must not fill the memory. */
const MAX_LINE = 2000;

export interface Tap extends Disposable {
  /** The descriptor for the command; `begin` closes it here. */
  readonly descriptor: number;
  /** Once the command has its descriptor. Calls back for every line until disposed of. */
  begin(env: Record<string, string>, line: (text: string) => void): void;
}

let supported: boolean | undefined;

/** busybox's tee has not the option that keeps it alive without us. Asked once; a few milliseconds. */
export function canTap(): boolean {
  supported ??= teeWorks();
  return supported;
}

function teeWorks(): boolean {
  try {
    const asked = Bun.spawnSync(["tee", "--output-error=warn-nopipe"], { stdin: "ignore", stderr: "ignore" });
    return asked.exitCode === 0;
  } catch {
    return false;
  }
}

/** `target` is our own descriptor, 1 or 2, that the bytes go on to. */
export function openTap(target: 1 | 2): Tap {
  const fromCommand = pipe();
  const toUs = pipe();
  let reader: ByteReader | undefined;
  let ended = false;
  return {
    descriptor: fromCommand.write,
    begin(env, line) {
      const stdio = [fromCommand.read, target, "ignore", toUs.write] as const;
      try {
        startOwn(["tee", "--output-error=warn-nopipe", "/dev/fd/3"], { stdio, env });
      } finally {
        for (const fd of [fromCommand.read, fromCommand.write, toUs.write]) closeSync(fd);
      }
      const opened: ByteReader = Bun.file(toUs.read).stream().getReader();
      reader = opened;
      void readLines(opened, (text) => !ended && line(text));
    },
    [Symbol.dispose]: () => {
      if (ended) return;
      ended = true;
      if (reader) void reader.cancel().catch(() => {});
      else for (const fd of [fromCommand.read, fromCommand.write, toUs.read, toUs.write]) closeSync(fd);
    },
  };
}

interface ByteReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

async function readLines(reader: ByteReader, line: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = (parts.pop() ?? "").slice(0, MAX_LINE);
      for (const part of parts) line(part.slice(0, MAX_LINE));
    }
  } catch {
    // The pipe was closed under the read: the look is over.
  }
  if (rest) line(rest);
}
