/** What is looked at around which report: nothing of it stands in the supervisor, which only carries out. */
import { expect, test } from "bun:test";
import type { Event } from "../../src/swap/machine.ts";
import { exited, failed, gone, play, ready, settled, TIMEOUT, WAY_TO, wording } from "./play.ts";

/** The reports of the last event, and the looks. */
const seen = (...events: Event[]): string[] =>
  play(events).effects.flatMap((effect) => (["look", "report"].includes(effect.do) ? wording(effect) : []));

test.each<[what: string, events: Event[], seen: string[]]>([
  ["serves", [ready(1)], ["say ready", "look at own-addresses", "say serving"]],
  [
    "has swapped",
    [...WAY_TO.warming, settled(2)],
    ["look at own-addresses", "say swapped", "look at memory"],
  ],
  ["is not ready", [...WAY_TO.booting, failed(2, TIMEOUT)], ["say rolled-back", "look at memory"]],
  [
    "is gone, told of last",
    [...WAY_TO.warming, settled(2), gone(1)],
    ["look at escaped", "look at lost-addresses", "say gone", "look at memory"],
  ],
  ["is ready beside another one", [...WAY_TO.booting, ready(2)], ["say ready"]],
])("a generation %s", (_, events, expected) => {
  expect(seen(...events)).toEqual(expected);
});

test("memory is looked at where the serving one dies, too", () => {
  expect(seen(ready(1), exited(1))).toContain("look at memory");
});
