/**
 * Sends one request over one connection to a control socket, and reads the answer. It never tries twice: a `POST /reload` that is sent
 * twice would be two swaps. (The runtime's fetch repeats a request that it thinks lost.)
 */
import { existsSync, statSync } from "node:fs";
import { ANSWER, HupwatchError } from "../error.ts";
import { ResponseReader } from "../http/response.ts";
import { peerCredentials, SystemError } from "../os/libc.ts";
import { Probe } from "../sockets/probe.ts";
import type { ErrorAnswer } from "./protocol.ts";

/** The status when there are too many clients. */
const BUSY = 503;
const MAX_BODY_BYTES = 4 * 1024 * 1024;

export interface Question {
  method: "GET" | "POST";
  /** With its query, e.g. `/reload?wait=0`. */
  target: string;
  timeoutMs: number;
}

/**
 * The JSON of a good answer. Throws HupwatchError: exit code 4 if no hupwatch listens, 3 if no answer came in time or the request
 * was refused, 1 if hupwatch ended during a request that changes something.
 */
export async function ask<T extends { schema: string }>(
  path: string,
  schema: T["schema"],
  question: Question,
): Promise<T> {
  const reader = new ResponseReader();
  reader.reset({ keepBodyBytes: MAX_BODY_BYTES });
  const { promise: ended, resolve: end, reject } = Promise.withResolvers<void>();
  const goesOn = question.method === "GET" ? "" : "; what was asked for goes on";
  const late = () => reject(noAnswer(path, `no answer within ${question.timeoutMs / 1000} s${goesOn}`));
  const deadline = setTimeout(late, question.timeoutMs);
  const socket = await connect(path, {
    data: (_, bytes) => {
      if (["done", "bad"].includes(reader.push(bytes))) end();
    },
    close: () => end(),
    error: () => end(),
  }).catch((error) => {
    clearTimeout(deadline);
    throw error;
  });
  try {
    refuseStrangers(socket, path);
    socket.write(`${question.method} ${question.target} HTTP/1.1\r\nHost: hupwatch\r\n\r\n`);
    await ended;
  } finally {
    clearTimeout(deadline);
    socket.terminate();
  }
  if (reader.state === "bad") throw noHupwatch(path);
  if (reader.state !== "done") throw itEnded(path, question.method);
  const body = objectOf(reader.bodyText()) as Partial<T & ErrorAnswer>;
  if (reader.status < 300 && body.schema === schema) return body as unknown as T;
  if (reader.status < 300 || body.error === undefined) throw noHupwatch(path);
  throw new HupwatchError("control.refused", `${path}: ${body.error}`, {
    exitCode: ANSWER.timeout,
    hint:
      reader.status === BUSY
        ? "end some of them; 'kill -HUP' with its pid swaps without the control socket"
        : "use the same version of hupwatch for both",
  });
}

/** A request that changes something is lost; for a mere question the answer is that none runs. */
const itEnded = (path: string, method: Question["method"]) =>
  new HupwatchError("control.ended", `${path}: hupwatch ended before it answered`, {
    exitCode: method === "POST" ? ANSWER.no : ANSWER.none,
    hint: "'hupwatch status' shows whether the service runs on; start the same command line again to take it over",
  });

/** Empty where the text is no JSON object. */
function objectOf(text: string): object {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** Most often it is the server's own socket. */
const noHupwatch = (path: string) =>
  new HupwatchError("control.no-hupwatch", `${path}: no hupwatch answers there, but another program`, {
    exitCode: ANSWER.none,
    hint: "name its control socket, not the server's own, or its name or pid: 'hupwatch status' lists them",
  });

type Handlers = Pick<Bun.SocketHandler<undefined>, "data" | "close" | "error">;

async function connect(path: string, socket: Handlers): Promise<Bun.Socket<undefined>> {
  try {
    return await Bun.connect<undefined>({ unix: path, socket: { ...socket, open() {}, drain() {} } });
  } catch (cause) {
    const code = errnoOf(path) ?? "ECONNRESET";
    if (BUT_LISTENS.has(code)) throw noAnswer(path, `it does not accept a connection (${code})`);
    const forbidden = code === "EACCES" || code === "EPERM";
    const isElse = existsSync(path) && !statSync(path).isSocket();
    const dead = isElse ? "it is not a socket" : `no process listens there (${code})`;
    const why = forbidden ? "it belongs to another user" : dead;
    throw new HupwatchError("control.unreachable", `cannot ask ${path}: ${why}`, {
      exitCode: ANSWER.none,
      hint: forbidden ? "run this as hupwatch's user, or as root" : "'hupwatch status' lists what runs",
      cause,
    });
  }
}

/** A process has the socket, but is stopped, busy or overloaded. */
const BUT_LISTENS = new Set(["EAGAIN", "ECONNRESET"]);

/** The errno of connect(2): the runtime reports a full queue (EAGAIN) as ECONNREFUSED. Undefined if it works by now. */
function errnoOf(path: string): string | undefined {
  try {
    Probe.unix(path)[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (error instanceof SystemError) return error.errno;
    throw error;
  }
}

/** In a directory that others can write to, another user may have put a socket of that name. */
function refuseStrangers(socket: Bun.Socket<undefined>, path: string): void {
  const me = process.getuid?.() ?? 0;
  const { uid } = peerCredentials((socket as unknown as { fd: number }).fd);
  if (me === 0 || uid === me || uid === 0) return;
  throw new HupwatchError("control.foreign", `${path} belongs to user ${uid}`, {
    exitCode: ANSWER.none,
    hint: "run this as that user, or as root",
  });
}

const noAnswer = (path: string, why: string) =>
  new HupwatchError("control.no-answer", `${path}: ${why}`, {
    exitCode: ANSWER.timeout,
    hint: "'hupwatch status' and hupwatch's log show how far it is; a longer --timeout waits longer",
  });
