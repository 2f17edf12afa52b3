/** A readiness check at work: what it asks is real, what it says is written down. */

import { type Clock, realClock } from "../../src/os/clock.ts";
import { dup, type Sender } from "../../src/os/libc.ts";
import type { Check, CheckContext } from "../../src/ready/check.ts";
import type { Listener } from "../../src/sockets/held.ts";
import { HeldTcp } from "../../src/sockets/held-tcp.ts";
import { HeldUnix } from "../../src/sockets/held-unix.ts";
import { tempDir } from "../harness/temp-dir.ts";

export interface Asking extends Disposable {
  readonly passed: number;
  /** What stands in the way at present. */
  readonly obstacle: string;
  /** The way out that was told with it. */
  readonly hint: string | undefined;
  readonly extensions: number[];
  line(text: string): void;
  notify(message: Record<string, string>): void;
  /** One that does not count. */
  ignored(sender: Sender): void;
}

export function ask(
  check: Check,
  listeners: readonly Listener[] = [],
  more: Partial<CheckContext> & { clock?: Clock } = {},
): Asking {
  let passed = 0;
  let obstacle = "";
  let hint: string | undefined;
  const extensions: number[] = [];
  const lines = new Set<(line: string) => void>();
  const messages = new Set<(message: Record<string, string>) => void>();
  const ignored = new Set<(sender: Sender) => void>();
  const hear = <T>(subscribers: Set<T>, subscriber: T): Disposable => {
    subscribers.add(subscriber);
    return { [Symbol.dispose]: () => void subscribers.delete(subscriber) };
  };
  const context: CheckContext = {
    clock: realClock,
    listeners,
    answered: () => {},
    note: (what, wayOut) => {
      obstacle = what;
      hint = wayOut;
    },
    extend: (ms) => void extensions.push(ms),
    onLine: (subscriber) => hear(lines, subscriber),
    onNotify: (subscriber, stranger = () => {}) => {
      const subscribers = [hear(messages, subscriber), hear(ignored, stranger)];
      return {
        [Symbol.dispose]: () => {
          for (const one of subscribers) one[Symbol.dispose]();
        },
      };
    },
    run: () => {
      throw new Error("nothing is to be run");
    },
    ...more,
  };
  const running = check.start(context, () => {
    passed += 1;
  });
  return {
    get passed() {
      return passed;
    },
    get obstacle() {
      return obstacle;
    },
    get hint() {
      return hint;
    },
    extensions,
    line: (text) => {
      for (const subscriber of lines) subscriber(text);
    },
    notify: (message) => {
      for (const subscriber of messages) subscriber(message);
    },
    ignored: (sender) => {
      for (const subscriber of ignored) subscriber(sender);
    },
    [Symbol.dispose]: () => running[Symbol.dispose](),
  };
}

export const TRANSPORTS = ["unix", "tcp"] as const;

export interface Ground extends Disposable {
  /** Serves the public. */
  old: Listener;
  /** Is to be asked. */
  young: Listener;
}

/** A held socket with an old generation that serves and a young one that nobody but a check can reach. */
export function ground(transport: (typeof TRANSPORTS)[number]): Ground {
  const stack = new DisposableStack();
  const spec = { name: "x", text: "x", address: { kind: "tcp", host: "", port: 0 } } as const;
  const held =
    transport === "unix"
      ? new HeldUnix(spec, `${stack.use(tempDir()).path}/x.sock`, { backlog: 16 })
      : new HeldTcp(spec, { family: "inet", host: "127.0.0.1", port: 0 }, { backlog: 16 });
  stack.use(held);
  const [old, young] = [held.listenFor(1), held.listenFor(2)];
  held.steerTo(old);
  return { old, young, [Symbol.dispose]: () => stack.dispose() };
}

/** A server on a duplicate of the listener's descriptor that does this with every chunk of a request. */
export function serve(
  listener: Listener,
  data: (socket: Bun.Socket<undefined>, request: string) => void,
): Disposable {
  if (listener.fd === undefined) throw new Error("it has no descriptor that could be listened on");
  const socket: Bun.SocketHandler<undefined> = { data: (s, bytes) => data(s, bytes.toString("latin1")) };
  // `fd` works in Bun.listen from 1.4.0; bun-types 1.4.5 does not have it.
  const server = Bun.listen({ fd: dup(listener.fd), socket } as unknown as Bun.UnixSocketOptions<undefined>);
  return { [Symbol.dispose]: () => server.stop(true) };
}
