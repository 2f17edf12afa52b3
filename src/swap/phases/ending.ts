/** What is answered at the end: in `stopping` and `over`. Pure. */
import { endByCrash } from "../death.ts";
import {
  end,
  endAtOnce,
  goTo,
  hurry,
  ignore,
  ignoreForward,
  isAbout,
  leaderGone,
  treeGone,
  unchanged,
} from "../moves.ts";
import type { Row } from "../states.ts";

export const stopping: Row<"stopping"> = {
  swap: ignore("swap", "hupwatch is stopping"),
  leave: hurry,
  // The generation that was to be left running is stopped after all.
  stop: (s) => {
    if (s.ending.kind !== "left") return hurry(s);
    const { serving } = s.ending;
    return end(s, { kind: "stopped", serving }, [[serving, "graceful"]]);
  },
  quit: (s) => (s.ending.kind === "left" ? endAtOnce(s, s.ending.serving, [s.ending.serving]) : hurry(s)),
  forward: ignoreForward,
  ready: unchanged,
  overdue: unchanged,
  failed: unchanged,
  exited: (s, e) => {
    if (s.ending.kind === "left" && isAbout(s.ending.serving, e)) return endByCrash(s, e.gen, e.failure);
    if (s.ending.kind !== "stopped" || !isAbout(s.ending.serving, e)) return leaderGone(s, e);
    return e.failure.exit ? goTo({ ...s, ending: { ...s.ending, exit: e.failure.exit } }) : unchanged(s);
  },
  settled: unchanged,
  hold: unchanged,
  resume: unchanged,
  confirm: unchanged,
  rollback: unchanged,
  expired: unchanged,
  gone: treeGone,
};

export const over: Row<"over"> = {
  swap: ignore("swap", "hupwatch is ending"),
  leave: unchanged,
  stop: unchanged,
  quit: unchanged,
  forward: unchanged,
  ready: unchanged,
  overdue: unchanged,
  failed: unchanged,
  exited: unchanged,
  settled: unchanged,
  hold: unchanged,
  resume: unchanged,
  confirm: unchanged,
  rollback: unchanged,
  expired: unchanged,
  gone: treeGone,
};
