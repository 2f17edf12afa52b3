/**
 * Reads what hupwatch says, as any log shipper would: JSON lines out of a file that the command writes to, too. A file
 * and no pipe, because survivors of a killed hupwatch must still have somewhere to write, and a command may open
 * /dev/stderr anew, which a socket pair refuses.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** How late an event may be told at most; looking costs two microseconds. */
const LOOK_EVERY_MS = 2;
const CHUNK_BYTES = 64 * 1024;
const KEPT_LINES = 200;

export interface LogEvent {
  event: string;
  level: string;
  /** Unix time in milliseconds. */
  timeMs: number;
  /** Of the hupwatch that says it. */
  pid: number;
  message: string;
  generation: number | undefined;
  /** Pid of the generation's leader. */
  child: number | undefined;
  /** Which one was asked to stop, where this says that a swap is done. */
  retired: number | undefined;
  address: string | undefined;
  cutover: string | undefined;
  /** False where the old generation may have answered in place of the new one. */
  proven: boolean | undefined;
}

export class LogTail implements Disposable {
  readonly events: LogEvent[] = [];
  /** The last lines that were no event: what the command says. */
  readonly others: string[] = [];
  onEvent: ((event: LogEvent) => void) | undefined;
  readonly #fd: number;
  readonly #timer: Timer;
  readonly #buffer = new Uint8Array(CHUNK_BYTES);
  readonly #decoder = new TextDecoder();
  #at = 0;
  #rest = "";
  #closed = false;

  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
  }

  /** Takes in what is there now. */
  look(): void {
    while (!this.#closed && fstatSync(this.#fd).size > this.#at) {
      const length = readSync(this.#fd, this.#buffer, 0, CHUNK_BYTES, this.#at);
      if (length === 0) return;
      this.#at += length;
      const text = this.#rest + this.#decoder.decode(this.#buffer.subarray(0, length), { stream: true });
      const lines = text.split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line);
    }
  }

  #take(line: string): void {
    const event = parseEvent(line);
    if (event) {
      this.events.push(event);
      this.onEvent?.(event);
      return;
    }
    this.others.push(line);
    if (this.others.length > KEPT_LINES) this.others.shift();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearInterval(this.#timer);
    closeSync(this.#fd);
  }
}

/** Undefined for a line that is not hupwatch's. */
export function parseEvent(line: string): LogEvent | undefined {
  // The command may have left its own line open in front of ours.
  const start = line.lastIndexOf('{"time":"');
  if (start < 0) return undefined;
  try {
    const said = JSON.parse(line.slice(start)) as Record<string, unknown>;
    if (typeof said.event !== "string" || typeof said.time !== "string") return undefined;
    const number = (key: string) => (typeof said[key] === "number" ? (said[key] as number) : undefined);
    const text = (key: string) => (typeof said[key] === "string" ? (said[key] as string) : undefined);
    return {
      event: said.event,
      level: text("level") ?? "info",
      timeMs: Date.parse(said.time),
      pid: number("pid") ?? 0,
      message: text("message") ?? "",
      generation: number("generation"),
      child: number("child"),
      retired: number("retired"),
      address: text("address"),
      cutover: text("cutover"),
      proven: typeof said.proven === "boolean" ? said.proven : undefined,
    };
  } catch {
    return undefined;
  }
}
