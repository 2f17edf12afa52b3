/**
 * Clients that keep their connection and post: none sends a request twice, and one that is lost on a connection that was used before is
 * what a proxy would answer 502 for.
 */
import { setTimeout as after } from "node:timers/promises";
import { Connection } from "./connection.ts";
import { Failure } from "./failure.ts";

export interface Posted {
  answered: number;
  /** With what it failed, and whether its connection was used before. */
  lost: Record<string, number>;
  /** Requests by the version that answered. */
  versions: Record<string, number>;
  connections: number;
}

const BODY = "0123456789";
const TIMEOUT_MS = 20_000;

export class Posts {
  readonly #report: Posted = { answered: 0, lost: {}, versions: {}, connections: 0 };
  #isStopping = false;
  readonly #loops: Promise<void>[];

  /** `pauseMs`: of each client, between an answer and the next request; 0 is none. */
  constructor(
    private readonly target: string,
    pausesMs: readonly number[],
    private readonly path = "/",
  ) {
    this.#loops = pausesMs.map((pauseMs) => this.#loop(pauseMs));
  }

  get report(): Posted {
    return this.#report;
  }

  async stop(): Promise<Posted> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
    return this.#report;
  }

  async #loop(pauseMs: number): Promise<void> {
    const request = Buffer.from(
      `POST ${this.path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
    );
    let connection: Connection | undefined;
    while (!this.#isStopping) {
      try {
        // As a proxy does: one that was closed while it was idle is not used.
        if (!connection || connection.over !== undefined) connection = await this.#open();
        const answer = await connection.exchange(request, TIMEOUT_MS);
        if (answer.status !== 200) throw new Failure("status", `${answer.status}`);
        this.#report.answered += 1;
        const version = answer.headers.get("x-version") ?? "none";
        this.#report.versions[version] = (this.#report.versions[version] ?? 0) + 1;
        if (answer.headers.get("connection")?.toLowerCase() === "close") {
          await connection.close(0);
          connection = undefined;
        }
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        const what = `${error.reused ? "kept" : "new"} ${error.phase} ${error.errno}`;
        this.#report.lost[what] = (this.#report.lost[what] ?? 0) + 1;
        await connection?.close(0);
        connection = undefined;
      }
      if (pauseMs > 0) await after(pauseMs);
    }
    await connection?.close(0);
  }

  #open(): Promise<Connection> {
    this.#report.connections += 1;
    return Connection.open(this.target, TIMEOUT_MS);
  }
}
