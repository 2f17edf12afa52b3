/** A page as Chromium shows it: its pixels, its document, and what it complained of. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { chromium } from "./tools.ts";

export type Colour = readonly [red: number, green: number, blue: number];

export interface Shown {
  dom: string;
  /** Lines of the page's console: a broken script, a thing that was not to be loaded. */
  complaints: string[];
  picture: Picture;
}

/** Of the file, at one pixel for each CSS pixel; `height` is how far down it is looked at. */
export async function show(path: string, width: number, height: number): Promise<Shown> {
  const profile = mkdtempSync(join(tmpdir(), "hv-chromium-"));
  using _profile = { [Symbol.dispose]: () => rmSync(profile, { recursive: true, force: true }) };
  const file = join(profile, "page.png");
  const browser = Bun.spawn(
    [
      ...[chromium ?? "", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
      ...["--disable-background-networking", "--enable-logging=stderr", `--user-data-dir=${profile}`],
      ...["--force-device-scale-factor=1", "--hide-scrollbars", `--window-size=${width},${height}`],
      ...["--virtual-time-budget=2000", `--screenshot=${file}`, "--dump-dom", `file://${path}`],
    ],
    { stdout: "pipe", stderr: "pipe", timeout: 50_000 },
  );
  const [dom, log] = await Promise.all([browser.stdout.text(), browser.stderr.text()]);
  const complaints = log.split("\n").filter((line) => line.includes("CONSOLE"));
  return { dom, complaints, picture: new Picture(readFileSync(file)) };
}

/** A PNG of Chromium's: 8 bits a channel, RGB or RGBA, not interlaced (www.w3.org/TR/png). */
export class Picture {
  readonly width: number;
  readonly height: number;
  readonly #channels: number;
  readonly #rows: Uint8Array[] = [];

  constructor(png: Buffer) {
    this.width = png.readUInt32BE(16);
    this.height = png.readUInt32BE(20);
    const [depth, colours, interlaced] = [png[24], png[25], png[28]];
    if (depth !== 8 || (colours !== 2 && colours !== 6) || interlaced !== 0)
      throw new Error(`a PNG of ${depth} bits, colour type ${colours}, interlace ${interlaced}`);
    this.#channels = colours === 6 ? 4 : 3;
    this.#unfilter(inflateSync(Buffer.concat(dataOf(png))));
  }

  at(x: number, y: number): Colour {
    const row = this.#rows[y] ?? [];
    const from = x * this.#channels;
    return [row[from] ?? 0, row[from + 1] ?? 0, row[from + 2] ?? 0];
  }

  /** Each line is kept as the difference to its left, upper and upper left neighbours, by one of five rules. */
  #unfilter(bytes: Uint8Array): void {
    const [n, length] = [this.#channels, this.width * this.#channels];
    let above = new Uint8Array(length);
    for (let y = 0; y < this.height; y++) {
      const start = y * (length + 1);
      const rule = bytes[start] ?? 0;
      const row = bytes.slice(start + 1, start + 1 + length);
      for (let i = 0; i < length; i++) {
        const [left, up, upLeft] = [row[i - n] ?? 0, above[i] ?? 0, i < n ? 0 : (above[i - n] ?? 0)];
        row[i] = (row[i] ?? 0) + predicted(rule, left, up, upLeft);
      }
      this.#rows.push(row);
      above = row;
    }
  }
}

function predicted(rule: number, left: number, up: number, upLeft: number): number {
  if (rule < 3) return [0, left, up][rule] ?? 0;
  if (rule === 3) return (left + up) >> 1;
  const guess = left + up - upLeft;
  const [a, b, c] = [left, up, upLeft].map((value) => Math.abs(guess - value)) as [number, number, number];
  return a <= b && a <= c ? left : b <= c ? up : upLeft;
}

function dataOf(png: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(png.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  return parts;
}

/** Edges are blended with what is behind them. */
export const isLike = (a: Colour, b: Colour, tolerance: number): boolean =>
  a.every((value, i) => Math.abs(value - (b[i] ?? 0)) <= tolerance);
