/** A text that is redrawn on the terminal's alternate screen; its last state stays on the normal one. */

import { plainPage } from "../text.ts";

const OTHER_SCREEN = "\x1b[?1049h\x1b[?25l";
const FIRST_SCREEN = "\x1b[?1049l\x1b[?25h";
const HOME = "\x1b[H";
const TO_LINE_END = "\x1b[K";
const BELOW = "\x1b[J";

export class Screen implements Disposable {
  #last = "";

  constructor(private readonly out: NodeJS.WriteStream) {
    out.write(OTHER_SCREEN);
  }

  /** In one write, cut to the terminal as it is now: nothing flickers, nothing scrolls. */
  draw(text: string): void {
    this.#last = plainPage(text);
    // A terminal that does not know its size says 0, as serial lines and `docker exec` do.
    const { columns, rows } = this.out;
    const lines = fit(this.#last, columns || 80, (rows || 24) - 1).map((line) => `${line}${TO_LINE_END}`);
    this.out.write(`${HOME}${lines.join("\r\n")}\r\n${BELOW}`);
  }

  [Symbol.dispose](): void {
    this.out.write(`${FIRST_SCREEN}${this.#last}\n`);
  }
}

/** Cuts what does not fit, and marks where. */
export function fit(text: string, columns: number, rows: number): string[] {
  const lines = text.split("\n");
  const shown = lines.length > rows ? lines.slice(0, rows - 1) : lines;
  const more = lines.length > rows ? [`… ${lines.length - shown.length} more lines`] : [];
  return [...shown, ...more].map((line) => (line.length > columns ? `${line.slice(0, columns - 1)}…` : line));
}
