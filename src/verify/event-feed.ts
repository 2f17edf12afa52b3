/**
 * What hupwatch says, from the start on: `GET /events` of its control socket. Never its log, which goes where the command
 * writes, too: a command that prints what hupwatch prints would be believed. The kernel says
 * which process listens at the socket, so that only the hupwatch that we started is believed.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Socket } from "bun";
import { peerCredentials } from "../os/libc.ts";

/** The socket is there a moment after the process; until then it is looked for. */
const LOOK_EVERY_MS = 5;

export interface HupwatchEvent {
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
  /** The generation that goes on, where this says that a swap was rolled back. */
  serving: number | undefined;
  address: string | undefined;
  cutover: string | undefined;
  /** False where the old generation may have answered in place of the new one. */
  proven: boolean | undefined;
}

export class EventFeed implements Disposable {
  readonly events: HupwatchEvent[] = [];
  onEvent: ((event: HupwatchEvent) => void) | undefined;
  #follower: Follower | undefined;

  /** `directory`: hupwatch's run directory. */
  constructor(private readonly directory: string) {}

  /** From now on the events of this process, from its first one on. */
  follow(pid: number): void {
    this.#follower?.[Symbol.dispose]();
    this.#follower = new Follower(this.directory, pid, (event) => {
      this.events.push(event);
      this.onEvent?.(event);
    });
  }

  [Symbol.dispose](): void {
    this.#follower?.[Symbol.dispose]();
  }
}

/** Listens to one process: looks for its socket, asks, and asks again for what it has not had where it is cut off. */
class Follower implements Disposable {
  #timer: Timer;
  #socket: Socket<undefined> | undefined;
  #connecting = false;
  #last = 0;
  #over = false;

  constructor(
    private readonly directory: string,
    private readonly pid: number,
    private readonly take: (event: HupwatchEvent) => void,
  ) {
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  #look(): void {
    if (this.#socket || this.#connecting || this.#over) return;
    this.#connecting = true;
    void this.#connectToOne().finally(() => {
      this.#connecting = false;
    });
  }

  /** Others may have their sockets in that directory, and a dead one leaves its own behind. */
  async #connectToOne(): Promise<void> {
    for (const name of socketNamesIn(this.directory)) {
      const socket = await this.#connect(join(this.directory, name));
      if (!socket) continue;
      if (this.#over || peerOf(socket) !== this.pid) {
        socket.terminate();
        continue;
      }
      this.#socket = socket;
      socket.write(`GET /events?since=${this.#last} HTTP/1.1\r\nHost: hupwatch\r\n\r\n`);
      return;
    }
  }

  async #connect(path: string): Promise<Socket<undefined> | undefined> {
    const lines = new LineReader((line) => this.#line(line));
    const closed = (socket: Socket<undefined>) => {
      if (socket === this.#socket) this.#socket = undefined;
    };
    try {
      return await Bun.connect<undefined>({
        unix: path,
        socket: { open() {}, data: (_, bytes) => lines.push(bytes), close: closed, error: closed },
      });
    } catch {
      return undefined; // no process listens there any more, or it is not for us
    }
  }

  #line(line: string): void {
    if (this.#over) return;
    if (line.startsWith("id: ")) this.#last = Number(line.slice(4));
    const event = line.startsWith("data: ") ? parseEvent(line.slice(6)) : undefined;
    if (event) this.take(event);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearInterval(this.#timer);
    this.#socket?.terminate();
  }
}

class LineReader {
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(private readonly take: (line: string) => void) {}

  push(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.take(line);
  }
}

function socketNamesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith(".sock"));
  } catch {
    return []; // hupwatch makes it
  }
}

/** unix(7), SO_PEERCRED: the process that called listen(2). */
function peerOf(socket: Socket<undefined>): number | undefined {
  try {
    return peerCredentials((socket as unknown as { fd: number }).fd).pid;
  } catch {
    return undefined;
  }
}

/** Undefined for what is not one of hupwatch's records. */
export function parseEvent(text: string): HupwatchEvent | undefined {
  const said = objectOf(text);
  if (typeof said?.event !== "string" || typeof said.time !== "string") return undefined;
  const number = (key: string) => (typeof said[key] === "number" ? (said[key] as number) : undefined);
  const string = (key: string) => (typeof said[key] === "string" ? (said[key] as string) : undefined);
  return {
    event: said.event,
    level: string("level") ?? "info",
    timeMs: Date.parse(said.time),
    pid: number("pid") ?? 0,
    message: string("message") ?? "",
    generation: number("generation"),
    child: number("child"),
    retired: number("retired"),
    serving: number("serving"),
    address: string("address"),
    cutover: string("cutover"),
    proven: typeof said.proven === "boolean" ? said.proven : undefined,
  };
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
