/** Thousands of random lives of the swap machine. A failure prints its seed and its events, shortened. */
import { expect, test } from "bun:test";
import type { Event, Limits } from "../../src/swap/machine.ts";
import {
  confirm,
  exited,
  expired,
  failed,
  gone,
  hold,
  leave,
  quit,
  ready,
  resume,
  rollback,
  settled,
  stop,
  swap,
  usr1,
} from "./play.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

const LIVES = 4000;
const ORDERS = [leave, stop, quit];

function live(seed: number): World {
  const random = new Random(seed);
  const world = new World({
    maxDraining: 1 + random.below(4),
    confirmMs: random.chance(0.3) ? 30_000 : undefined,
    keepMs: random.chance(0.3) ? 600_000 : undefined,
    respawn: random.chance(0.3) ? { times: random.below(4), withinMs: 5 + random.below(40) } : undefined,
  });
  const [hups, misfortune, noise, orders] = [random.next(), random.next() * 0.6, random.next() * 0.2, 0.02];
  try {
    for (let steps = random.below(80); steps > 0; steps--)
      world.take(choose(world, random, { hups, misfortune, noise, orders }));
    rest(world, random);
  } catch (error) {
    throw new Error(`seed ${seed}: ${error}\n${shortest(world.history, world.limits)}`);
  }
  return world;
}

function choose(
  world: World,
  random: Random,
  odds: { hups: number; misfortune: number; noise: number; orders: number },
): Event {
  const { good, bad } = world.possible();
  if (random.chance(odds.orders)) return random.pick(ORDERS);
  // What was queued before the machine changed its mind, and what nobody ever sends.
  if (random.chance(odds.noise)) {
    const gen = 1 + random.below(world.state.last + 1);
    const dead = world.actors.get(gen)?.alive !== true;
    return random.pick([
      settled(gen),
      confirm(gen),
      rollback(gen),
      expired(gen),
      usr1,
      ...(dead ? [ready(gen), failed(gen)] : []),
    ]);
  }
  if (random.chance(0.04)) return random.pick([hold, resume]);
  if (random.chance(odds.hups * 0.5)) return swap;
  if (bad.length > 0 && random.chance(odds.misfortune)) return random.pick(bad);
  return good.length > 0 ? random.pick(good) : swap;
}

/** Nothing more goes wrong and nobody asks for anything: it must come to rest. */
function rest(world: World, random: Random): void {
  for (let steps = 0; ; steps++) {
    const { good } = world.possible();
    if (good.length === 0) break;
    if (steps > 1000) throw new Error("it never comes to rest");
    world.take(random.pick(good));
  }
  world.checkRest();
}

/** Leaves out whatever is not needed for a breach, event by event. */
function shortest(history: readonly Event[], limits: Limits): string {
  const breaks = (events: readonly Event[]): boolean => {
    const world = new World(limits);
    try {
      for (const event of events) {
        if (!world.allows(event)) return false;
        world.take(event);
      }
      rest(world, new Random(1));
      return false;
    } catch {
      return true;
    }
  };
  let events = [...history];
  for (let i = 0; i < events.length; ) {
    const without = events.toSpliced(i, 1);
    if (breaks(without)) events = without;
    else i++;
  }
  return `${JSON.stringify(limits)}\n${events.map((e) => JSON.stringify(e)).join("\n")}`;
}

test("no random life breaks an invariant", () => {
  const phases = new Set<string>();
  for (let seed = 1; seed <= LIVES; seed++) phases.add(live(seed).state.phase);
  // Lives that all end alike would prove little.
  expect(phases).toEqual(new Set(["serving", "over"]));
});

test("the model sees a breach when there is one", () => {
  const world = new World({ maxDraining: 4 });
  for (const event of [ready(1), swap, ready(2), settled(2)]) world.take(event);
  expect(() => world.take(exited(1)) ?? world.checkRest()).toThrow("forgotten");
  world.take(gone(1));
  expect(() => world.checkRest()).not.toThrow();
});
