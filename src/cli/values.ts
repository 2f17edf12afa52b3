/** Options' values as text, read into numbers, with the option named where they are wrong. For the sub-commands: exit code 2. */
import { parseDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";

export const usage = (message: string, hint: string) =>
  new HupwatchError("usage", message, { exitCode: 2, hint });

export function number(
  text: string | undefined,
  option: string,
  low: number,
  high: number,
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low && value <= high) return value;
  throw usage(`${option} '${text}' is not a number from ${low} to ${high}`, "give one in these bounds");
}

export function wholeNumber(text: string | undefined, option: string, low: number, high: number) {
  const value = number(text, option, low, high);
  if (value === undefined || Number.isInteger(value)) return value;
  throw usage(`${option} '${text}' is not a whole number`, "leave out the fraction");
}

/** Milliseconds. */
export function duration(text: string, option: string, lowMs: number): number {
  const ms = parsed(text, option);
  if (ms >= lowMs) return ms;
  throw usage(`${option} '${text}' is too short`, `give at least ${lowMs}ms`);
}

/** A usage error of this command, whatever the exit code of the shared parser's. */
function parsed(text: string, option: string): number {
  try {
    return parseDuration(text, option);
  } catch (error) {
    if (error instanceof HupwatchError) throw usage(error.message, error.hint ?? "give seconds");
    throw error;
  }
}

/** Bytes. */
export function size(text: string, option: string): number {
  const match = /^(\d+)([kmg]?)$/i.exec(text);
  const factor = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[match?.[2]?.toLowerCase() ?? ""] ?? 1;
  const bytes = match ? Number(match[1]) * factor : Number.NaN;
  if (bytes >= 1 && bytes <= 1024 ** 3) return bytes;
  throw usage(`${option} '${text}' is not a size from 1 to 1g`, "give bytes, or use k, m or g: 64k, 1m");
}

/** A request's target: no blanks, no control characters. */
export function urlPath(text: string, option: string): string {
  if (/^\/[\x21-\x7e]*$/.test(text)) return text;
  throw usage(`${option} '${text}' is not a path`, "begin it with /, without blanks");
}

/** `a,b` and repeated options alike; each must be one of `allowed`. */
export function listOf<const T extends string>(texts: string[], option: string, allowed: readonly T[]): T[] {
  const words = texts.flatMap((text) => text.split(",")).map((word) => word.trim());
  const found = words.map((word) => {
    const one = allowed.find((a) => a === word);
    if (one === undefined) throw usage(`${option} '${word}' is not known`, `use ${allowed.join(", ")}`);
    return one;
  });
  return [...new Set(found)];
}
