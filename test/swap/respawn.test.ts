/** `--on-crash respawn` in the machine's table: what takes the place of a dead generation, when, and when nothing does any more. */
import { expect, test } from "bun:test";
import type { Effect, Event } from "../../src/swap/machine.ts";
import { DEATH, exited, failed, leave, play, ready, shown, swap, TIMEOUT, WAY_TO } from "./play.ts";

const limits = { maxDraining: 4, respawn: { times: 3, withinMs: 60_000 } };
const dies = (gen: number, at = 0): Event => exited(gen, DEATH, at);
const after = (...events: Event[]) => shown(play(events, limits).effects);
const pauses = (effects: Effect[]) => effects.flatMap((e) => (e.do === "boot" ? [e.afterMs ?? 0] : []));

test("the successor boots in public on the very listeners of the dead one, and only that one's rest is swept", () => {
  const { effects } = play([ready(1), dies(1)], limits);
  expect(shown(effects)).toEqual(["say crashed", "say respawning", "boot 2 public", "retire 1 sweep"]);
  expect(effects).toContainEqual({ do: "boot", gen: 2, public: true, succeeds: 1, afterMs: 0 });
});

test("later after each death within the window, at once after a quiet one", () => {
  const quick = [ready(1), dies(1), ready(2), dies(2), ready(3), dies(3)];
  expect(pauses(play(quick, limits).all)).toEqual([0, 0, 100, 200]);
  const slow = [ready(1), dies(1), ready(2), dies(2, 60_000), ready(3), dies(3, 120_000)];
  expect(pauses(play(slow, limits).all)).toEqual([0, 0, 0, 0]);
});

test("beyond the limit hupwatch ends as if there were no respawn", () => {
  const deaths = [1, 2, 3].flatMap((gen) => [ready(gen), dies(gen)]);
  const { state, effects } = play([...deaths, ready(4), dies(4)], limits);
  expect(shown(effects)).toContain("say crashed");
  expect(state).toMatchObject({ phase: "stopping", ending: { kind: "failed", failure: DEATH } });
});

test("the first generation is not tried again: a wrong command stays wrong", () => {
  expect(play([dies(1)], limits).state.phase).toBe("stopping");
});

test("I1: a successor that is not ready in time is killed before the next one boots", () => {
  const wordings = after(ready(1), dies(1), failed(2, TIMEOUT));
  expect(wordings).toContain("retire 2 kill");
  expect(wordings.indexOf("retire 2 kill")).toBeLessThan(wordings.indexOf("boot 3 public"));
});

test("I1: a failed generation that is still going is killed before the successor of the serving one boots", () => {
  const wordings = after(...WAY_TO["rolling-back"], dies(1));
  expect(wordings.indexOf("retire 2 kill")).toBeLessThan(wordings.indexOf("boot 3 public"));
});

test("I4: a HUP that waited is carried out by way of the successor", () => {
  const { state } = play([...WAY_TO["rolling-back"], swap, dies(1), ready(3)], limits);
  expect(state).toMatchObject({ phase: "booting", current: 3, next: 4 });
});

test("a hupwatch that was told to leave respawns nothing", () => {
  expect(after(...WAY_TO.booting, leave, dies(1))).not.toContain("say respawning");
});

test("a promoted successor that dies, too, is replaced as any other, and both deaths count", () => {
  const events = [...WAY_TO.booting, dies(1), dies(2)];
  expect(after(...events)).toContain("say respawning");
  const { state } = play(events, limits);
  expect(state).toMatchObject({ phase: "starting", next: 3, fallen: { respawned: true } });
  expect(state.crashes).toHaveLength(2);
});
