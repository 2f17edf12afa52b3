/**
 * For a command whose addresses are learned: it listens, and accepts wherever it listens. A successor must listen wherever the serving
 * generation does, however long its start takes, since clients come there, as to an address of --bind. Other addresses of an older
 * generation are given up after some time in which nothing new came. If none ever listened (a worker), it is ready when it has come to rest.
 */
import { type Clock, pollPatiently } from "../os/clock.ts";
import type { Listener } from "../sockets/held.ts";
import type { Probe } from "../sockets/probe.ts";
import type { Check, CheckContext } from "./check.ts";
import { tryToConnect } from "./connect.ts";

export interface Listening {
  /** Where the generation listens by now. */
  listeners(): readonly Listener[];
  /** Addresses where an earlier one listens and this one does not; without one that `isRequired` it is not ready. */
  missing(): readonly { address: string; isRequired: boolean }[];
  /** When a generation may listen nowhere: never, as soon as its other checks have passed, or when it has come to rest. */
  nowhere: "never" | "at once" | "at rest";
  /** It has come to rest if it neither runs nor waits for a disk for this long. A start that only waits for others (a database) looks the same. */
  restMs: number;
  work(): Work;
}

/** Of all its processes. */
export interface Work {
  /** CPU time so far, in clock ticks. */
  ticks: number;
  /** One of them runs, or waits for a disk. */
  isBusy: boolean;
}

/** Enough for a first start, which nobody is replaced by. */
export const REST_MS = 1000;
const REST_TICKS_MAX = 5;
const REST_LOOK_MS = 100;
/** The longest wait: a worker that has work at once never comes to rest. */
const RESTLESS_MS = 30_000;

const POLL_MS = 10;
/** As long as a server may take between its first address and its last one. */
const QUIET_MS = 5000;

/** `then`: checks of the user's that ask at its listeners, when it accepts there. */
export const listeningCheck = (listening: Listening, then: readonly Check[]): Check => ({
  label: "listen",
  needs: [],
  start(context, passed) {
    const running = new DisposableStack();
    running.use(
      untilAccepted(listening, context, () => {
        const open = new Set(then);
        if (open.size === 0) passed();
        for (const check of then)
          running.use(
            check.start({ ...context, listeners: listening.listeners() }, () => {
              if (open.delete(check) && open.size === 0) passed();
            }),
          );
      }),
    );
    return running;
  },
});

function untilAccepted(
  listening: Listening,
  { clock, note }: CheckContext,
  accepted: () => void,
): Disposable {
  const probes = new Map<Listener, Probe | undefined>();
  const done = new Set<Listener>();
  let quietFrom = clock.now();
  let seen = 0;
  const mayListenNowhere = restOf(listening, clock);
  const polling = pollPatiently(clock, POLL_MS, () => {
    const listeners = listening.listeners();
    const missing = listening.missing();
    if (listeners.length !== seen) quietFrom = clock.now();
    seen = listeners.length;
    for (const listener of listeners)
      if (!done.has(listener) && tryToConnect(listener, probes, { clock, note })) done.add(listener);
    if (missing.length > 0) noteMissing(missing, note);
    else if (seen === 0) note("it does not listen", "use --handover none for a command that never listens");
    if (seen === 0 && missing.length === 0 && mayListenNowhere()) {
      accepted();
      return "enough";
    }
    const isQuiet = clock.now() - quietFrom >= QUIET_MS;
    const isComplete = !missing.some(({ isRequired }) => isRequired) && (missing.length === 0 || isQuiet);
    if (seen === 0 || done.size < seen || !isComplete) return "more";
    accepted();
    return "enough";
  });
  return {
    [Symbol.dispose]: () => {
      polling[Symbol.dispose]();
      for (const probe of probes.values()) probe?.[Symbol.dispose]();
    },
  };
}

function noteMissing(missing: ReturnType<Listening["missing"]>, note: CheckContext["note"]): void {
  const required = missing.filter(({ isRequired }) => isRequired);
  const [wanted, hint] =
    required.length > 0
      ? [
          required,
          "let it listen where the serving one does, or restart hupwatch with --bind for the new address",
        ]
      : [missing, undefined];
  note(`it does not listen at ${wanted.map(({ address }) => address).join(", ")}`, hint);
}

/** Whether one that listens nowhere counts as ready by now. */
function restOf({ nowhere, restMs, work }: Listening, clock: Clock): () => boolean {
  const from = clock.now();
  let quiet = { from, ticks: Number.NEGATIVE_INFINITY };
  let nextLook = from;
  return () => {
    if (nowhere !== "at rest") return nowhere === "at once";
    const now = clock.now();
    if (now < nextLook) return false;
    nextLook = now + REST_LOOK_MS;
    const { ticks, isBusy } = work();
    if (isBusy || ticks - quiet.ticks > REST_TICKS_MAX) quiet = { from: now, ticks };
    return now - quiet.from >= restMs || now - from >= RESTLESS_MS;
  };
}
