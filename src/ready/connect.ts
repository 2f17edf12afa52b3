/**
 * `connect`: every listener of the generation accepts. A finished connect proves nothing, since the kernel completes it
 * for a listener that no process reads; the proof is that the connection leaves the accept queue.
 */
import { HupwatchError } from "../error.ts";
import { pollPatiently } from "../os/clock.ts";
import { SystemError } from "../os/libc.ts";
import type { Listener } from "../sockets/held.ts";
import type { Probe } from "../sockets/probe.ts";
import type { Check, CheckContext } from "./check.ts";

const POLL_MS = 5;

export const connectCheck = (): Check => ({
  label: "connect",
  needs: ["socket"],
  start({ clock, listeners, note }, passed) {
    const waiting = new Map<Listener, Probe | undefined>(listeners.map((l) => [l, undefined]));
    const polling = pollPatiently(clock, POLL_MS, () => {
      for (const listener of [...waiting.keys()])
        if (tryToConnect(listener, waiting, { clock, note })) waiting.delete(listener);
      if (waiting.size > 0) return "more";
      passed();
      return "enough";
    });
    return {
      [Symbol.dispose]: () => {
        polling[Symbol.dispose]();
        for (const probe of waiting.values()) probe?.[Symbol.dispose]();
      },
    };
  },
});

/**
 * True when a connection that it makes there has left the accept queue; `probes` keeps it between two looks. The queue need not be empty:
 * clients may wait in it. Its own end is closed at once then: a server with one worker and no timeout would wait for it to speak, and
 * serve no other connection.
 */
export function tryToConnect(
  listener: Listener,
  probes: Map<Listener, Probe | undefined>,
  { clock, note }: Pick<CheckContext, "clock" | "note">,
): boolean {
  try {
    const probe = probes.get(listener) ?? listener.connect();
    probes.set(listener, probe);
    if (!probe.connected()) return false;
    note("it has not accepted a connection");
    if (listener.hasQueued() && !probe.isAccepted()) return false;
    probes.delete(listener);
    probe.leave(clock);
    return true;
  } catch (error) {
    if (!(error instanceof SystemError || error instanceof HupwatchError)) throw error;
    probes.get(listener)?.[Symbol.dispose]();
    probes.set(listener, undefined);
    note(error.message);
    return false;
  }
}
