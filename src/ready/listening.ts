/**
 * For a command whose addresses are learned: it listens, and accepts wherever it listens. How many addresses a new version has
 * cannot be known: where the last one had more, it is given some time without anything new. One that listens nowhere is not ready, however
 * long its start takes.
 */
import { pollPatiently } from "../os/clock.ts";
import type { Listener } from "../sockets/held.ts";
import type { Probe } from "../sockets/probe.ts";
import type { Check, CheckContext } from "./check.ts";
import { isAccepted } from "./connect.ts";

export interface Listening {
  /** Where the generation listens by now. */
  listeners(): readonly Listener[];
  /** Addresses where an earlier one listens and this one does not. */
  missing(): readonly string[];
}

const POLL_MS = 10;
/** As long as a server may take between its first address and its last one. */
const QUIET_MS = 5000;

/** `then`: checks of the user's, which are asked when it accepts. */
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
  const polling = pollPatiently(clock, POLL_MS, () => {
    const listeners = listening.listeners();
    const missing = listening.missing();
    if (listeners.length !== seen) quietFrom = clock.now();
    seen = listeners.length;
    if (seen === 0)
      note(
        missing.length > 0 ? `it does not listen at ${missing.join(", ")}` : "it does not listen",
        "--handover none for a command that never listens",
      );
    for (const listener of listeners)
      if (!done.has(listener) && isAccepted(listener, probes, note)) done.add(listener);
    const isQuiet = clock.now() - quietFrom >= QUIET_MS;
    const isComplete = missing.length === 0 || isQuiet;
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
