/** One client connection over Bun.connect: one exchange at a time, nothing is ever sent twice. */
import type { Socket } from "bun";
import { Answer } from "./answer.ts";
import { errnoOf, Failure } from "./failure.ts";

interface Exchange {
  answer: Answer;
  unsent: Buffer;
  finish(outcome: Answer | Failure): void;
}

export class Connection {
  /** performance.now() before connect(2). */
  readonly openedMs = performance.now();
  exchanges = 0;
  /** Set once the connection is over; errno, or EOF for an orderly close. */
  over: string | undefined;
  #socket: Socket<unknown> | undefined;
  #current: Exchange | undefined;
  #closed = Promise.withResolvers<void>();

  /** Rejects with a Failure of phase `connect`. */
  static async open(target: string, timeoutMs: number): Promise<Connection> {
    const connection = new Connection();
    const pending = Bun.connect({ ...address(target), socket: connection.#handlers() } as never);
    const timer = Promise.withResolvers<never>();
    const alarm = setTimeout(() => timer.reject(new Failure("connect", "ETIMEDOUT")), timeoutMs);
    try {
      connection.#socket = await Promise.race([pending, timer.promise]);
      return connection;
    } catch (error) {
      pending.then((socket) => socket.terminate()).catch(() => {});
      throw error instanceof Failure ? error : new Failure("connect", errnoOf(error));
    } finally {
      clearTimeout(alarm);
    }
  }

  /** Sends one request and resolves with its whole answer. Rejects with a Failure; the connection is then of no more use. */
  async exchange(request: Buffer, timeoutMs: number): Promise<Answer> {
    const reused = this.exchanges++ > 0;
    const done = Promise.withResolvers<Answer | Failure>();
    const exchange = { answer: new Answer(), unsent: request, finish: done.resolve };
    this.#current = exchange;
    const alarm = setTimeout(
      () => done.resolve(new Failure(exchange.answer.phase, "ETIMEDOUT", reused)),
      timeoutMs,
    );
    if (this.over) this.#finishCut(this.over);
    else this.#write(exchange);
    const outcome = await done.promise;
    clearTimeout(alarm);
    this.#current = undefined;
    if (outcome instanceof Answer) return outcome;
    this.#socket?.terminate();
    throw new Failure(outcome.phase, outcome.errno, reused);
  }

  /** Leaves the closing to the server for a moment: the side that closes first keeps the port in TIME_WAIT. */
  async close(graceMs: number): Promise<void> {
    const alarm = setTimeout(() => this.#socket?.end(), this.over ? 0 : graceMs);
    await this.#closed.promise;
    clearTimeout(alarm);
  }

  #write(exchange: Exchange): void {
    // A negative count means that the socket is closing: its close handler says why.
    const taken = Math.max(0, this.#socket?.write(exchange.unsent) ?? 0);
    exchange.unsent = exchange.unsent.subarray(taken);
  }

  #finishCut(errno: string): void {
    const exchange = this.#current;
    if (!exchange) return;
    const whole = exchange.answer.done || (errno === "EOF" && exchange.answer.end());
    exchange.finish(whole ? exchange.answer : new Failure(exchange.answer.phase, errno));
  }

  #handlers(): Bun.SocketHandler<unknown> {
    return {
      open: (socket) => {
        this.#socket = socket;
      },
      data: (_, bytes) => {
        const exchange = this.#current;
        if (!exchange) return;
        try {
          exchange.answer.push(bytes);
          if (exchange.answer.done) exchange.finish(exchange.answer);
        } catch (error) {
          exchange.finish(error as Failure);
        }
      },
      drain: () => {
        if (this.#current && this.#current.unsent.length > 0) this.#write(this.#current);
      },
      close: (_, error) => {
        this.over ??= errnoOf(error ?? undefined);
        this.#finishCut(this.over);
        this.#closed.resolve();
      },
      error: (_, error) => {
        this.over ??= errnoOf(error);
      },
    };
  }
}

/** `unix:/path`, `host:port` or `[v6]:port`. */
function address(target: string): { unix: string } | { hostname: string; port: number } {
  if (target.startsWith("unix:")) return { unix: target.slice(5) };
  const colon = target.lastIndexOf(":");
  return { hostname: target.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(target.slice(colon + 1)) };
}
