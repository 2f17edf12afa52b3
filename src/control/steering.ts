/**
 * Answers a client that decides which of two generations remains. The request only posts an event, which the machine takes at once:
 * the answer is the state afterwards.
 */
import type { Gen } from "../events/service-event.ts";
import { format } from "../sockets/sockaddr.ts";
import type { State } from "../swap/machine.ts";
import type { SteerAnswer } from "./protocol.ts";
import type { Subject } from "./status.ts";

type Supervisor = Subject["supervisor"];
type Answer = Omit<SteerAnswer, "schema" | "name">;

/** The generation that has or will have the clients, and waits for `confirm`. */
export const unconfirmedOf = (state: State): Gen | undefined =>
  (state.phase === "warming" || state.phase === "warm") && !state.isConfirmed ? state.next : undefined;

/** The generation that serves if nothing more is requested. */
function remaining(state: State): Gen | undefined {
  if (state.phase === "warming" || state.phase === "warm") return state.next;
  return "current" in state ? state.current : undefined;
}

export function confirm(supervisor: Supervisor): Answer {
  const generation = unconfirmedOf(supervisor.state);
  if (generation === undefined) return { outcome: "nothing", reason: "no generation waits to be confirmed" };
  supervisor.post({ kind: "confirm", gen: generation });
  if (unconfirmedOf(supervisor.state) === undefined && remaining(supervisor.state) === generation)
    return { outcome: "confirmed", generation, serving: generation };
  return { outcome: "nothing", reason: `generation ${generation} could not be confirmed; the log says why` };
}

/** The number that the next swap gives to its generation. */
export const nextOf = (state: State): Gen => (state.phase === "holding" ? state.next : state.last + 1);

/** Why new connections cannot wait for the next generation; undefined where they can. */
function unholdable({ plan, held, supervisor: { state } }: Subject): string | undefined {
  if (held.length === 0) return "no socket is held";
  const shared = held.find(({ cutover }) => cutover.mode === "share");
  if (shared) return `${format(shared.address)} is shared by all generations`;
  // What is held then is the server's own, and it has not bound it yet.
  if (plan.handover === "path") return "the server binds its path by itself (--handover path)";
  if (state.phase === "serving" || state.phase === "holding") return undefined;
  if (state.phase === "warm" && state.isConfirmed) return undefined;
  return "a swap is under way";
}

export function hold(subject: Subject, ms: number): Answer {
  const why = unholdable(subject);
  if (why !== undefined) return { outcome: "nothing", reason: `connections cannot be held: ${why}` };
  const { supervisor } = subject;
  const before = supervisor.state;
  const unkept = before.phase === "warm" ? before.current : undefined;
  supervisor.post({ kind: "hold", ms });
  const { state } = supervisor;
  if (state.phase === "holding")
    return { outcome: "held", generation: state.next, serving: state.current, unkept };
  return { outcome: "nothing", reason: "connections could not be held; the log says why" };
}

export function rollback(supervisor: Supervisor): Answer {
  const { state } = supervisor;
  const generation = "next" in state && "current" in state ? state.next : undefined;
  if (generation === undefined) {
    const serving = remaining(state);
    const why = "the previous generation is not kept (--keep DUR keeps it after a swap)";
    return {
      outcome: "nothing",
      reason: serving === undefined ? "no other generation lives" : why,
      serving,
    };
  }
  const failure = { reason: "was given up on request (hupwatch rollback)" };
  supervisor.post({ kind: "rollback", gen: generation, failure });
  const serving = remaining(supervisor.state);
  if (serving !== undefined && serving !== generation) return { outcome: "rolled-back", generation, serving };
  return { outcome: "nothing", reason: "clients could not be sent back; the log says why", serving };
}
