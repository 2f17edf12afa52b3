/** A picture that is drawn over and over on the terminal's other screen, and stays on the first one when it ends. */

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
    this.#last = text;
    const { columns = 80, rows = 24 } = this.out;
    const lines = text.split("\n").slice(0, rows - 1);
    const cut = lines.map((line) => `${line.slice(0, columns)}${TO_LINE_END}`);
    this.out.write(`${HOME}${cut.join("\r\n")}\r\n${BELOW}`);
  }

  [Symbol.dispose](): void {
    this.out.write(`${FIRST_SCREEN}${this.#last}\n`);
  }
}
