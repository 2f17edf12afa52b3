/** What is answered while one generation has the clients alone, or is to have them: in `starting` and `serving`. Pure. */
import { crash, startAfresh, startFailed } from "../death.ts";
import { hold } from "../hold.ts";
import {
  beginSwap,
  end,
  endAtOnce,
  forward,
  goTo,
  isAbout,
  leaderGone,
  leave,
  say,
  serveOrSwap,
  steer,
  treeGone,
  unchanged,
} from "../moves.ts";
import type { Row } from "../states.ts";

export const starting: Row<"starting"> = {
  swap: (s) => {
    if (s.overdue) return startAfresh(s);
    return goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.next }));
  },
  // Nothing serves yet that could be left behind.
  leave: (s) => end(s, { kind: "stopped", serving: s.next }, [[s.next, "abandon"]]),
  stop: (s) => end(s, { kind: "stopped", serving: s.next }, [[s.next, "abandon"]]),
  quit: (s) => endAtOnce(s, s.next, [s.next]),
  forward: (s, e) => goTo({ ...s, owed: [...s.owed, e.signal] }),
  ready: (s, e) =>
    isAbout(s.next, e)
      ? serveOrSwap(
          s,
          s.next,
          say({ event: "ready", gen: s.next }),
          // A server that binds its own path has only now made it.
          steer(s.next),
          say({ event: "serving", gen: s.next }),
          ...s.owed.map((signal) => forward(s.next, signal)),
        )
      : unchanged(s),
  overdue: (s, e) => {
    if (!isAbout(s.next, e)) return unchanged(s);
    return s.again ? startAfresh(s) : goTo({ ...s, overdue: true });
  },
  failed: (s, e, limits) => (isAbout(s.next, e) ? startFailed(s, e, "abandon", limits) : unchanged(s)),
  exited: (s, e, limits) => (isAbout(s.next, e) ? startFailed(s, e, "sweep", limits) : leaderGone(s, e)),
  settled: unchanged,
  hold: unchanged,
  resume: unchanged,
  confirm: unchanged,
  rollback: unchanged,
  expired: unchanged,
  gone: treeGone,
};

export const serving: Row<"serving"> = {
  swap: (s) => beginSwap(s, s.current),
  leave: (s) => leave(s, s.current),
  stop: (s) => end(s, { kind: "stopped", serving: s.current }, [[s.current, "graceful"]]),
  quit: (s) => endAtOnce(s, s.current, [s.current]),
  forward: (s, e) => goTo(s, forward(s.current, e.signal)),
  ready: unchanged,
  overdue: unchanged,
  failed: unchanged,
  exited: (s, e, limits) => (isAbout(s.current, e) ? crash(s, s.current, e, limits) : leaderGone(s, e)),
  settled: unchanged,
  hold: (s, e) => hold(s, s.current, e.ms),
  resume: unchanged,
  confirm: unchanged,
  rollback: unchanged,
  expired: unchanged,
  gone: treeGone,
};
