/**
 * The swap as a pure, total table: phase x event -> next state and effects. No clock, no I/O, no log: the supervisor
 * feeds events one by one and carries the effects out. Here are its picture, its step and what must hold; its rows are in phases/, one
 * for each phase, which has a cell for each event.
 *
 *                     ready                  swap (HUP)              ready(next)
 *    starting ─────────────────▶ serving ───────────────▶ booting ───────────────▶ warming
 *       │                         ▲  ▲  ▲                    │                      │   │
 *       │ exited, failed          │  │  └─── gone(failed) ─ rolling-back ◀──────────┘   │ settled:
 *       ▼                         │  │                       ▲ exited(next), failed     │ retire the old one
 *    stopping ──▶ over            │  └───────────────────────┘                          │
 *    (stop, quit, leave, crash)   └─────────────────────────────────────────────────────┘
 *
 * The flip to a new generation's listener happens on entering `warming`; on the way to `rolling-back` it is taken back.
 *
 * With --confirm and --keep the old one is not retired there but stays as it is, in `warm`, until it is known which of the two remains:
 *
 *    warming ── settled ──▶ warm ── confirm, expired ──▶ serving (the old one drains)
 *       │ rollback           │ rollback; TERM or expired without a confirm
 *       └─────────┬──────────┘
 *                 ▼
 *           flipping-back ── settled: retire the new one ──▶ serving
 *
 * `holding` stands between `serving` and `booting`: the flip to the next one's listeners comes before its start. TERM from then on leads to
 * `rolling-back` with `leaving`: what waits there is answered by the old one, and then hupwatch ends.
 *
 * A HUP that comes meanwhile sets `again`: exactly one more swap follows, whatever the outcome of this one.
 *
 * A signal to pass on that comes during a swap is for both generations: the new one, too, may have opened the log files that are to
 * be reopened. It gets the signal at the cutover (`owed`). Before that its handler may be missing, and the default action would
 * kill it: its first worker is ready long before the last.
 *
 * Invariants (assertState and the tests carry their numbers; see the README):
 * I1 one generation at most is not ready · I2 no serving generation is told to stop before the next one has settled
 * I4 no HUP is lost · I8 a failed swap leaves the old one untouched · I9 what is not confirmed does not stay.
 */
import { withLooks } from "./looks.ts";
import { beginSwap, say } from "./moves.ts";
import { booting, holding, warm, warming } from "./phases/ahead.ts";
import { serving, starting } from "./phases/alone.ts";
import { flippingBack, rollingBack } from "./phases/back.ts";
import { over, stopping } from "./phases/ending.ts";
import type { Cell, Event, EventKind, Gen, Limits, Phase, Row, State, Step } from "./states.ts";

export type * from "./states.ts";

/** The first step over a survivor of an earlier hupwatch: a swap from it. */
export const takeOver = (survivor: Gen, last: Gen): Step =>
  beginSwap({ last, draining: [], crashes: [] }, survivor, say({ event: "taken-over", gen: survivor }));

/** The first step of all. */
export const begin = (): Step => ({
  state: {
    phase: "starting",
    next: 1,
    again: false,
    overdue: false,
    owed: [],
    last: 1,
    draining: [],
    crashes: [],
  },
  effects: [{ do: "boot", gen: 1, public: true }],
});

/** A phase or a cell that is missing does not compile. */
const TABLE: { [P in Phase]: Row<P> } = {
  starting,
  serving,
  holding,
  booting,
  warming,
  warm,
  "rolling-back": rollingBack,
  "flipping-back": flippingBack,
  stopping,
  over,
};

/** Total: every phase has an answer to every event. Never throws for an event that could really come. */
export function step(state: State, event: Event, limits: Limits): Step {
  const cell = TABLE[state.phase][event.kind] as Cell<Phase, EventKind>;
  const { state: next, effects } = cell(state, event, limits);
  return { state: next, effects: effects.flatMap(withLooks) };
}

/** What must hold in every state; throws a plain Error (a bug) where it does not. */
export function assertState(state: State): void {
  const { last, draining } = state;
  const demand = (ok: boolean, what: string) => {
    if (!ok) throw new Error(`impossible state, ${what}: ${JSON.stringify(state)}`);
  };
  demand(new Set(draining).size === draining.length, "a generation drains twice");
  const named = "next" in state ? [state.next] : [];
  if ("current" in state) named.push(state.current);
  if ("failed" in state) named.push(state.failed);
  demand(new Set(named).size === named.length, "one generation in two roles");
  demand(
    named.every((g) => !draining.includes(g)),
    "a generation in use is also draining",
  );
  demand(
    [...named, ...draining].every((g) => g >= 1 && g <= last),
    "a generation beyond the last number",
  );
  if (
    state.phase === "booting" ||
    state.phase === "warming" ||
    state.phase === "warm" ||
    state.phase === "holding"
  )
    demand(state.next > state.current, "I4: the successor is not newer");
}
