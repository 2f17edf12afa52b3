/**
 * Which versions answered, by the X-Version field: counts, first and last answer, and answers that went back in time.
 * A version is *newer* than those that answered before it. Where its first answer is to a request that was sent before the
 * other's first one came, that says nothing, since a busy old server answers late: then the newer one is the one that first
 * answers a request sent after both. A regression is an answer from an older version to a request that was sent after the
 * newest one's first answer had arrived: some client saw new, then old.
 */
import { latin1 } from "../http/bytes.ts";

export interface VersionSeen {
  version: string;
  count: number;
  /** Milliseconds since the run began. */
  firstMs: number;
  lastMs: number;
  /** Of `count`, those that came after a newer version for good. */
  regressions: number;
}

const VERSION_MAX_BYTES = 256;
/** Beyond it something else than a version is in that field; further ones are counted as the last. */
const VERSIONS_MAX = 4096;

export class VersionLog {
  readonly seen: VersionSeen[] = [];
  #byText = new Map<string, VersionSeen>();
  /** The version that answered last, as bytes, so that the usual case decodes nothing. */
  #currentBytes: Uint8Array = new Uint8Array();
  #current: VersionSeen | undefined;
  /** A request sent after it decides which of the last two versions is the newer one; undefined: that is known. */
  #undecidedMs: number | undefined;

  get regressions(): number {
    return this.seen.reduce((sum, v) => sum + v.regressions, 0);
  }

  /** An answer came at `nowMs` to a request sent at `sentMs`. Returns the newer version's name if it is a regression. */
  note(bytes: Uint8Array, from: number, to: number, sentMs: number, nowMs: number): string | undefined {
    const version = this.#versionOf(bytes, from, to, sentMs, nowMs);
    version.count++;
    version.lastMs = nowMs;
    if (this.#undecidedMs !== undefined) {
      if (sentMs <= this.#undecidedMs) return undefined;
      this.#undecidedMs = undefined;
      this.seen.push(...this.seen.splice(this.seen.indexOf(version), 1));
    }
    const newest = this.seen[this.seen.length - 1] as VersionSeen;
    if (newest === version || sentMs <= newest.firstMs) return undefined;
    version.regressions++;
    return newest.version;
  }

  #versionOf(bytes: Uint8Array, from: number, to: number, sentMs: number, nowMs: number): VersionSeen {
    if (this.#current && same(bytes, from, to, this.#currentBytes)) return this.#current;
    const text = latin1(bytes, from, Math.min(to, from + VERSION_MAX_BYTES));
    const version = this.#byText.get(text) ?? this.#add(text, sentMs, nowMs);
    this.#current = version;
    this.#currentBytes = bytes.slice(from, to);
    return version;
  }

  #add(text: string, sentMs: number, nowMs: number): VersionSeen {
    const newest = this.seen[this.seen.length - 1];
    if (newest && this.seen.length >= VERSIONS_MAX) return newest;
    const version = { version: text, count: 0, firstMs: nowMs, lastMs: nowMs, regressions: 0 };
    this.#undecidedMs = newest && sentMs <= newest.firstMs ? nowMs : undefined;
    this.seen.push(version);
    this.#byText.set(text, version);
    return version;
  }
}

function same(bytes: Uint8Array, from: number, to: number, other: Uint8Array): boolean {
  if (to - from !== other.length) return false;
  for (let i = 0; i < other.length; i++) if (bytes[from + i] !== other[i]) return false;
  return true;
}
