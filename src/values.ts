/**
 * What options say, as text, read into values. There is one reader; what it refuses it names by the option and the value. Only the
 * exit code differs: that of `run` has to be none of the command's own.
 */
import { parseDuration } from "./duration.ts";
import { HupwatchError } from "./error.ts";

/** What `read` makes of an option; undefined where that was left out. */
export const given = <A extends unknown[], R>(
  text: string | undefined,
  read: (text: string, ...rest: A) => R,
  ...rest: A
): R | undefined => (text === undefined ? undefined : read(text, ...rest));

export function readerOf(exitCode: number) {
  const usage = (message: string, hint: string) => new HupwatchError("usage", message, { exitCode, hint });

  function number(text: string, option: string, low: number, high: number): number {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    throw usage(`${option} '${text}' is not a number from ${low} to ${high}`, "give one in that range");
  }

  function wholeNumber(text: string, option: string, low: number, high: number): number {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    const what = Number.isNaN(value) ? "a whole number" : `a number from ${low} to ${high}`;
    throw usage(`${option} '${text}' is not ${what}`, `give a whole number from ${low} to ${high}`);
  }

  /** Milliseconds. */
  function duration(text: string, option: string, lowMs = 0): number {
    const ms = parsed(text, option);
    if (ms >= lowMs) return ms;
    throw usage(`${option} '${text}' is too short`, `give at least ${lowMs}ms`);
  }

  function parsed(text: string, option: string): number {
    try {
      return parseDuration(text, option);
    } catch (error) {
      if (error instanceof HupwatchError) throw usage(error.message, error.hint ?? "give seconds");
      throw error;
    }
  }

  /** Bytes. */
  function size(text: string, option: string, high = Number.POSITIVE_INFINITY): number {
    const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)([kmgt]?)$/.exec(text.toLowerCase()) ?? [];
    const bytes = Math.round(Number(amount) * (UNIT_BYTES[unit] ?? 1));
    if (bytes > 0 && bytes <= high) return bytes;
    const bounds = Number.isFinite(high) ? ` from 1 to ${sizeText(high)}` : "";
    throw usage(`${option} '${text}' is not a size${bounds}`, "give bytes, or use k, m or g: 512m, 1.5g");
  }

  function oneOf<const T extends string>(text: string, option: string, allowed: readonly T[]): T {
    const found = allowed.find((one) => one === text);
    if (found !== undefined) return found;
    throw usage(`${option} '${text}' is not known`, `use ${allowed.join(", ")}`);
  }

  /** `a,b` and repeated options alike; each must be one of `allowed`. */
  function listOf<const T extends string>(texts: string[], option: string, allowed: readonly T[]): T[] {
    const words = texts.flatMap((text) => text.split(",")).map((word) => word.trim());
    return [...new Set(words.map((word) => oneOf(word, option, allowed)))];
  }

  /** A request's target: no blanks, no control characters. */
  function urlPath(text: string, option: string): string {
    if (/^\/[\x21-\x7e]*$/.test(text)) return text;
    throw usage(`${option} '${text}' is not a path`, "begin it with /, without blanks");
  }

  return { usage, number, wholeNumber, duration, size, oneOf, listOf, urlPath };
}

const UNIT_BYTES: Record<string, number> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** As `size` reads it: `1m`, `1500`. */
export function sizeText(bytes: number): string {
  const unit = ["t", "g", "m", "k"].find((one) => bytes % (UNIT_BYTES[one] ?? 1) === 0) ?? "";
  return `${bytes / (UNIT_BYTES[unit] ?? 1)}${unit}`;
}

/** As `duration` reads it: `10s`, `1500ms`. */
export const durationText = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`);
