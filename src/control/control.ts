/**
 * The control plane of one hupwatch: it gets the events and answers requests. It posts events into the supervisor's queue and
 * reads snapshots; it owns no part of a swap, and cannot delay one.
 */

import { History } from "../events/history.ts";
import type { Consume } from "../events/publish.ts";
import { failureFacts } from "../events/words.ts";
import { realClock } from "../os/clock.ts";
import type { Ending } from "../swap/machine.ts";
import type { Connection } from "./connection.ts";
import { ControlSocket } from "./control-socket.ts";
import { EventStream } from "./event-stream.ts";
import { METRICS_TYPE, metricsOf } from "./metrics.ts";
import { type Outcome, Outcomes } from "./outcomes.ts";
import type { ReloadAnswer, SteerAnswer, StopAnswer } from "./protocol.ts";
import type { Request } from "./request.ts";
import { type Subject, statusOf } from "./status.ts";
import { confirm, hold, nextOf, rollback, unconfirmedOf } from "./steering.ts";

type Route = (connection: Connection, request: Request) => void;

export class Control implements Disposable {
  readonly #history = new History();
  readonly #outcomes = new Outcomes();
  readonly #events = new EventStream(realClock);
  readonly #stopping = new Set<Connection>();
  #socket: ControlSocket | undefined;
  #subject: Subject | undefined;

  readonly consume: Consume = (event, told) => {
    this.#history.consume(event);
    this.#outcomes.consume(event);
    this.#events.consume(event, told);
  };

  /** Answers from now on. Throws SystemError where the socket cannot be opened. */
  open(path: string, uid: number, subject: Subject): void {
    this.#subject = subject;
    this.#socket = new ControlSocket({ path, uid, clock: realClock, onRequest: this.#onRequest });
  }

  /** True where the file of its socket was gone. Throws SystemError. */
  renew(): boolean {
    return this.#socket?.renew() === true;
  }

  readonly #onRequest = (request: Request, connection: Connection): void => {
    const methods = ROUTES[request.path];
    if (!methods) {
      const reason = `no '${request.path}' here; there are ${Object.keys(ROUTES).join(", ")}`;
      connection.refuse({ status: 404, reason });
      return;
    }
    const route = this.#routes[`${request.method} ${request.path}`];
    if (route) route(connection, request);
    else connection.refuse({ status: 405, reason: `${request.path} takes ${methods}` });
  };

  readonly #routes: Record<string, Route> = {
    "GET /status": (connection) =>
      this.#withSubject((s) => connection.answerJson(200, statusOf(s, this.#history))),
    "GET /metrics": (connection) =>
      this.#withSubject((s) => connection.answer(200, METRICS_TYPE, metricsOf(statusOf(s, this.#history)))),
    "GET /events": (connection, { query }) => {
      const since = query.get("since") ?? undefined;
      if (since !== undefined && !/^\d{1,15}$/.test(since))
        connection.refuse({ status: 400, reason: `since=${since} is not the number of an event` });
      else if (this.#events.size >= MAX_STREAMS)
        connection.refuse({ status: 503, reason: `${MAX_STREAMS} clients read events already` });
      else this.#events.add(connection, since === undefined ? undefined : Number(since));
    },
    "POST /reload": (connection, request) => this.#withSubject((s) => this.#reload(s, connection, request)),
    "POST /confirm": (connection) => this.#steer(connection, (s) => confirm(s.supervisor)),
    "POST /rollback": (connection) => this.#steer(connection, (s) => rollback(s.supervisor)),
    "POST /hold": (connection, { query }) => {
      const ms = query.get("ms") ?? "";
      if (!/^\d{1,9}$/.test(ms) || Number(ms) === 0)
        connection.refuse({ status: 400, reason: `ms=${ms} is not a number of milliseconds` });
      else this.#steer(connection, (subject) => hold(subject, Number(ms)));
    },
    "POST /resume": (connection, request) => this.#withSubject((s) => this.#resume(s, connection, request)),
    "POST /stop": (connection) =>
      this.#withSubject((s) => {
        this.#stopping.add(connection);
        connection.onClose(() => this.#stopping.delete(connection));
        s.supervisor.post({ kind: "stop" });
      }),
  };

  #withSubject(answer: (subject: Subject) => void): void {
    if (this.#subject) answer(this.#subject);
  }

  #steer(connection: Connection, act: (subject: Subject) => Omit<SteerAnswer, "schema" | "name">): void {
    this.#withSubject((subject) => {
      const answer: SteerAnswer = { schema: "hupwatch-steer/1", name: subject.plan.name, ...act(subject) };
      connection.answerJson(200, answer);
    });
  }

  #reload(subject: Subject, connection: Connection, request: Request): void {
    const unconfirmed = unconfirmedOf(subject.supervisor.state);
    const post = () => subject.supervisor.post({ kind: "swap" });
    if (unconfirmed === undefined) this.#swap(subject, connection, request, post);
    else answerer(subject, connection)({ outcome: "unconfirmed", generation: unconfirmed });
  }

  #resume(subject: Subject, connection: Connection, request: Request): void {
    const { state } = subject.supervisor;
    const post = () => subject.supervisor.post({ kind: "resume", why: "request" });
    if (state.phase === "holding") this.#swap(subject, connection, request, post);
    else answerer(subject, connection)({ outcome: "not-held", generation: state.last });
  }

  /** `post` leads to a new generation, and its outcome is the answer. */
  #swap(subject: Subject, connection: Connection, { query }: Request, post: () => void): void {
    const from = nextOf(subject.supervisor.state);
    const answer = answerer(subject, connection);
    if (query.get("wait") === "0") answer({ outcome: "asked", generation: from }, 202);
    else if (this.#outcomes.waiting >= MAX_WAITING) {
      connection.refuse({ status: 503, reason: `${MAX_WAITING} clients wait for an outcome already` });
      return;
    } else {
      const waiting = this.#outcomes.wait(from, answer);
      connection.onClose(() => waiting[Symbol.dispose]());
    }
    post();
  }

  /** Sends the last answers; nothing is answered afterwards. */
  async finish(ending: Ending): Promise<void> {
    this.#outcomes.end();
    const name = this.#subject?.plan.name ?? "";
    const answer: StopAnswer = {
      schema: "hupwatch-stop/1",
      name,
      outcome: ending.kind === "left" ? "left" : "stopped",
      ...(ending.kind === "failed" ? { failure: failureFacts(ending.failure) } : {}),
    };
    for (const connection of [...this.#stopping]) connection.answerJson(200, answer);
    this.#events[Symbol.dispose]();
    await this.#socket?.flush();
  }

  [Symbol.dispose](): void {
    this.#socket?.[Symbol.dispose]();
  }
}

const answerer =
  ({ plan }: Subject, connection: Connection) =>
  (outcome: Outcome, status = 200) => {
    const whole: ReloadAnswer = { schema: "hupwatch-reload/1", name: plan.name, ...outcome };
    connection.answerJson(status, whole);
  };

/** Each kind has its own limit, far below that of all connections: subscribers of events never keep a client from a reload. */
const MAX_STREAMS = 64;
const MAX_WAITING = 128;

/** Each path with the method it takes. */
const ROUTES: Record<string, string> = {
  "/status": "GET",
  "/metrics": "GET",
  "/events": "GET",
  "/reload": "POST",
  "/hold": "POST",
  "/resume": "POST",
  "/confirm": "POST",
  "/rollback": "POST",
  "/stop": "POST",
};
