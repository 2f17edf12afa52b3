/**
 * What is looked at around a report, in order to tell people what no event of the machine says. A look decides nothing, and if it fails,
 * nothing else does. Pure.
 */
import type { Effect, Look, Report } from "./states.ts";

interface Around {
  before?: readonly Look[];
  after?: readonly Look[];
}

const LOOKS: { [E in Report["event"]]?: Around } = {
  serving: { before: ["own-addresses"] },
  // With these a time ends in which two generations were in memory, or one of them ends.
  swapped: { before: ["own-addresses"], after: ["memory"] },
  "rolled-back": { after: ["memory"] },
  died: { after: ["memory"] },
  crashed: { after: ["memory"] },
  // I6: what its takedown could not find is named before it is said to be gone.
  gone: { before: ["escaped", "lost-addresses"], after: ["memory"] },
};

export function withLooks(effect: Effect): Effect[] {
  if (effect.do !== "report") return [effect];
  const { report } = effect;
  const { before = [], after = [] } = LOOKS[report.event] ?? {};
  const gen = "gen" in report ? report.gen : undefined;
  const look = (at: Look): Effect => ({ do: "look", at, gen });
  return [...before.map(look), effect, ...after.map(look)];
}
