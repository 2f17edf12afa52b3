/** The progress of a long run on stderr: on a terminal one line that is overwritten, elsewhere a line every five seconds. */
export class ProgressLine implements Disposable {
  readonly #live = process.stderr.isTTY === true;
  /** How often it wants to be told. */
  readonly everyMs = this.#live ? 200 : 5000;

  show(text: string): void {
    process.stderr.write(this.#live ? `\r\x1b[K${text}` : `${text}\n`);
  }

  [Symbol.dispose](): void {
    if (this.#live) process.stderr.write("\r\x1b[K");
  }
}
