/** The table of signals: each becomes an event for the one queue. */
import { formatDuration } from "../duration.ts";
import type { Log } from "../log.ts";
import { hearOfBugs } from "../os/aid.ts";
import { ownTerminal } from "../os/terminal.ts";
import type { Event } from "../swap/machine.ts";

const FORWARDED = ["SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTTIN", "SIGTTOU"] as const;

export interface SignalOptions {
  killAtExit: boolean;
  /** Between TERM and the stop; 0 outside of killAtExit. */
  stopDelayMs: number;
  /** The service is being stopped, whatever asked for it: one more TERM hurries it. */
  isStopping: () => boolean;
  /** SIGHUP was ignored when hupwatch started, and stays ignored. */
  isNohup: boolean;
  onChildEnd: () => void;
}

/** Until disposed of. */
export function listenToSignals(
  post: (event: Event) => void,
  { killAtExit, stopDelayMs, isStopping, isNohup, onChildEnd }: SignalOptions,
  log: Log,
): Disposable {
  const handlers = new Map<NodeJS.Signals, () => void>();
  const posting = (signal: NodeJS.Signals, event: Event) => () => {
    log.debug("signal", `received ${signal}`, { signal });
    post(event);
  };
  const on = (signal: NodeJS.Signals, event: Event) => handlers.set(signal, posting(signal, event));
  if (isNohup)
    log.warn(
      "signal.nohup",
      "SIGHUP was ignored when hupwatch started (nohup), so neither kill -HUP nor a closing terminal swaps: to swap by signal, start it with setsid instead of nohup",
    );
  else handlers.set("SIGHUP", onHangup(post, killAtExit, log));
  const end: Event = { kind: killAtExit ? "stop" : "leave" };
  on("SIGQUIT", { kind: "quit" });
  using stack = new DisposableStack();
  const onTerm =
    stopDelayMs === 0
      ? posting("SIGTERM", end)
      : stack.use(new LateStop(post, stopDelayMs, isStopping, log)).onTerm;
  handlers.set("SIGTERM", withoutEcho(onTerm));
  handlers.set("SIGINT", withoutEcho(posting("SIGINT", end)));
  for (const signal of FORWARDED) on(signal, { kind: "forward", signal });
  // Some child has changed its state, which may be a stop or a continuation; the reaper looks for itself.
  handlers.set("SIGCHLD", onChildEnd);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  stack.defer(() => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  });
  return stack.move();
}

/** A wrapper takes milliseconds to pass a signal on, on a busy machine more. Whatever comes later is meant as a second one. */
const ECHO_MS = 250;

/**
 * One Ctrl-C, or one signal of timeout(1), may come twice: to the whole process group, and from a wrapper that passes it on. The second
 * would hurry the stop, which cuts requests.
 */
function withoutEcho(handler: () => void): () => void {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    const now = performance.now();
    if (now - last < ECHO_MS) return;
    last = now;
    handler();
  };
}

/**
 * Kubernetes' endpoints and other balancers go on sending clients for a while after a pod's end was decided. Until then everything goes on,
 * swaps included. A second TERM stops at once. If something else has requested the stop meanwhile, the late one must not be posted: a stop
 * after a stop hurries it.
 */
class LateStop implements Disposable {
  #timer: Timer | undefined;

  constructor(
    private readonly post: (event: Event) => void,
    private readonly delayMs: number,
    private readonly isStopping: () => boolean,
    private readonly log: Log,
  ) {}

  readonly onTerm = (): void => {
    const isFirst = this.#timer === undefined;
    clearTimeout(this.#timer);
    if (!isFirst || this.isStopping()) {
      this.post({ kind: "stop" });
      return;
    }
    const after = formatDuration(this.delayMs);
    this.log.notice(
      "stop.delayed",
      `received SIGTERM: the service goes on accepting for ${after}, then stops (--stop-delay)`,
    );
    this.#timer = setTimeout(() => {
      if (!this.isStopping()) this.post({ kind: "stop" });
    }, this.delayMs);
  };

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/**
 * A bug of ours in a timer, a promise or a consumer must not end a service, least of all in the middle of a swap. It is reported once, with
 * its stack with -v. Until disposed of.
 */
export function surviveBugs(log: Log): Disposable {
  const told = new Set<string>();
  const tell = (bug: unknown) => {
    const message = bug instanceof Error ? bug.message : String(bug);
    if (told.has(message)) return;
    told.add(message);
    log.warn(
      "bug",
      `hupwatch has a bug, and goes on without the part that failed: ${message}; -v shows where it is`,
    );
    log.debug("bug.stack", Bun.inspect(bug));
  };
  const hearing = hearOfBugs(tell);
  process.on("uncaughtException", tell);
  process.on("unhandledRejection", tell);
  return {
    [Symbol.dispose]: () => {
      hearing[Symbol.dispose]();
      process.off("uncaughtException", tell);
      process.off("unhandledRejection", tell);
    },
  };
}

/**
 * A SIGHUP is a deploy, unless the terminal has sent it by going away. Then, with -k the service ends, as everything else in that
 * window does. Without -k it goes on, and a swap gives it an output that works.
 */
function onHangup(post: (event: Event) => void, killAtExit: boolean, log: Log): () => void {
  const terminal = ownTerminal();
  return () => {
    if (!terminal.isGone) {
      log.debug("signal", "received SIGHUP", { signal: "SIGHUP" });
      return post({ kind: "swap" });
    }
    terminal.letGo();
    if (!killAtExit) log.notice("terminal.gone", DETACHED);
    else log.notice("terminal.gone", "the terminal is gone: stopping, since -k is on");
    post({ kind: killAtExit ? "stop" : "swap" });
  };
}

const DETACHED =
  "the terminal is gone: the service goes on, as a fresh copy that writes to /dev/null instead; 'hupwatch stop' stops it";

export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
  /** Resolves after `ms`, or as soon as it is interrupted. */
  pause(ms: number): Promise<void>;
}

export interface Interruption {
  signals?: readonly NodeJS.Signals[];
  /** The next one of the same kind kills, as if it were not caught. */
  once?: boolean;
}

/** For sub-commands that go on until they are interrupted: these signals end them gracefully. */
export function untilInterrupted({
  signals = ["SIGINT", "SIGTERM", "SIGHUP"],
  once = false,
}: Interruption = {}): Interrupt {
  const abort = new AbortController();
  const stop = () => abort.abort();
  for (const signal of signals) {
    if (once) process.once(signal, stop);
    else process.on(signal, stop);
  }
  return {
    signal: abort.signal,
    pause: (ms) => pauseUnless(abort.signal, ms),
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, stop);
    },
  };
}

/** As setTimeout of node:timers/promises, which a start would load for it. */
function pauseUnless(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", over);
  });
}
