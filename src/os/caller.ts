/** The words and environment of the caller, byte for byte: the launcher's shell and the runtime's strings lose a part of them. */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { isPlainText, textOf } from "./byte-text.ts";

/** As `process.env`, with bytes as byte-text.ts has them, and with the names that a shell forgets (`a.b`, exported functions). */
export function callerEnvironment(): Record<string, string | undefined> {
  const { env } = process;
  const block = blockOf("environ");
  // Written by launcher.sh, in hexadecimal digits.
  const forgotten = Buffer.from(env.HUPWATCH_ODD ?? "", "hex");
  if (forgotten.length === 0 && isUtf8(block)) return env;
  const mangled = entriesOf(block).filter((entry) => !isPlainText(entry));
  return { ...env, ...Object.fromEntries([...mangled, ...entriesOf(forgotten)].flatMap(cut)) };
}

/** `words` are the last ones of `process.argv`. */
export function callerWords(words: readonly string[]): string[] {
  const block = blockOf("cmdline");
  return isUtf8(block) ? [...words] : entriesOf(block).slice(-words.length);
}

/** Without an `=` or a name no program can set it again, and none can ask for it. */
function cut(entry: string): [name: string, value: string][] {
  const at = entry.indexOf("=");
  return at > 0 ? [[entry.slice(0, at), entry.slice(at + 1)]] : [];
}

/** Every entry ends with NUL (proc(5)). */
const entriesOf = (block: Buffer): string[] => textOf(block).split("\0").slice(0, -1);

function blockOf(file: "environ" | "cmdline"): Buffer {
  try {
    return readFileSync(`/proc/self/${file}`);
  } catch {
    return Buffer.alloc(0);
  }
}
