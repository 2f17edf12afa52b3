/** Input that is almost right: seeds with bytes or words changed, cut, doubled, crossed, and with what parsers stumble over. */
import type { Random } from "../swap/random.ts";

const TROUBLE = [
  ..."\0\n\r\t\x1b\x7f=:;,/@[]{}'\"\\%-+ ",
  ...[
    "\r\n\r\n",
    "\x1b[2J",
    "\u202e",
    "€",
    "\xff\xfe",
    "--",
    "../",
    "[::1]:",
    "unix:",
    "{gen}",
    "{fd}",
    "<0>",
  ],
  ...["0", "-1", "00", "1e999", "NaN", "Infinity", "0x10", "2147483648", "9999999999999999999999"],
  ...["__proto__", "constructor", "toString", "null", "true", "[]", "{}", '"'],
];
const LONG = 5000;
const CHANGES_MAX = 8;

export class Mutator {
  constructor(
    readonly random: Random,
    /** Of this target: what stands in its inputs. */
    private readonly dictionary: readonly string[] = [],
  ) {}

  bytes(seeds: readonly (string | Uint8Array)[]): Uint8Array {
    const { random } = this;
    const one = () => Buffer.from(random.pick(seeds) as string);
    let bytes: Buffer = one();
    for (let n = random.below(CHANGES_MAX); n > 0; n--) bytes = this.#change(bytes, one);
    return new Uint8Array(bytes);
  }

  text(seeds: readonly string[]): string {
    return Buffer.from(this.bytes(seeds)).toString();
  }

  /** As execve(2) passes them: no word has a NUL. */
  words(seeds: readonly (readonly string[])[]): string[] {
    const { random } = this;
    let words = [...random.pick(seeds)];
    for (let n = random.below(CHANGES_MAX); n > 0; n--) {
      const at = random.below(words.length + 1);
      const other = random.pick(seeds);
      const from = random.below(other.length);
      switch (random.below(5)) {
        case 0:
          words.splice(at, 1);
          break;
        case 1:
          words.splice(at, 0, this.#token());
          break;
        case 2:
          words = [...words.slice(0, at), ...other.slice(from)];
          break;
        case 3:
          words.splice(at, 0, ...other.slice(from, from + 2));
          break;
        default:
          if (words.length > 0) words[at % words.length] = this.text([words[at % words.length] as string]);
      }
    }
    return words.map((word) => word.replaceAll("\0", ""));
  }

  /** In pieces, as a socket brings them. */
  pieces(bytes: Uint8Array): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + this.random.below(this.random.chance(0.5) ? 4 : 200);
      pieces.push(bytes.slice(at, end));
      at = end;
    }
    return pieces;
  }

  #token(): string {
    return this.random.pick(
      this.random.chance(0.6) && this.dictionary.length > 0 ? this.dictionary : TROUBLE,
    );
  }

  #change(bytes: Buffer, another: () => Buffer): Buffer {
    const { random } = this;
    const at = random.below(bytes.length + 1);
    const end = at + random.below(Math.min(40, bytes.length - at + 1));
    const [head, part, tail] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
    switch (random.below(8)) {
      case 0:
        return Buffer.concat([head, tail]);
      case 1:
        return Buffer.concat([head, part, part, tail]);
      case 2:
        return Buffer.concat([head, Buffer.from(this.#token()), bytes.subarray(at)]);
      case 3:
        return Buffer.concat([head, Buffer.from(this.#token()), tail]);
      case 4:
        return Buffer.concat([head, another().subarray(random.below(50))]);
      case 5:
        return Buffer.concat([head, Buffer.alloc(random.below(LONG), this.#token() || "x"), tail]);
      case 6:
        return Buffer.from(head);
      default: {
        const changed = Buffer.from(bytes);
        if (changed.length > 0) changed[at % changed.length] = random.below(256);
        return changed;
      }
    }
  }
}
