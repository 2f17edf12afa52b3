/** Whose listeners are whose: between a generation, its heir and the held sockets. */
import { expect, test } from "bun:test";
import { Listeners } from "../../src/generation/listeners.ts";
import { FakeHeld, type FakeListener } from "../fake-os/sockets.ts";

const fake = () => new FakeHeld(() => {});
const generationsOf = (listeners: Listeners) =>
  [...listeners].map(([, listener]) => (listener as FakeListener).generation);

test("an heir has the very listeners of the dead one, which releases nothing", () => {
  const held = [fake(), fake()];
  const [first, heir] = [new Listeners(1, held), new Listeners(2, held)];
  first.open(undefined, false);
  heir.inherit(first);
  first.release();
  expect(first.isInherited).toBe(true);
  expect(generationsOf(heir)).toEqual([1, 1]);
  expect(held.map(({ open }) => [...open])).toEqual([[1], [1]]);
  heir.release();
  expect(held.map(({ open }) => [...open])).toEqual([[], []]);
});

test("an heir that is gone before the dead one's orphans leaves them theirs: the last of all closes them", () => {
  const held = [fake()];
  const [first, second, third] = [1, 2, 3].map((gen) => new Listeners(gen, held)) as [
    Listeners,
    Listeners,
    Listeners,
  ];
  first.open(undefined, false);
  second.inherit(first);
  third.inherit(second);
  second.release();
  third.release();
  expect(generationsOf(first)).toEqual([1]);
  expect(held[0]?.open).toEqual(new Set([1]));
  first.release();
  expect(held[0]?.open).toEqual(new Set());
});

test("an heir of a survivor opens those that the survivor did not have, in the order of the held sockets", () => {
  const adopted = fake();
  const held = [fake(), Object.assign(adopted, { adopted: adopted.listenFor(1) }), fake()];
  const [survivor, heir] = [new Listeners(1, held), new Listeners(2, held)];
  survivor.adopt([]);
  expect(generationsOf(survivor)).toEqual([1]);
  heir.inherit(survivor);
  expect(generationsOf(heir)).toEqual([2, 1, 2]);
  expect(heir.descriptors).toHaveLength(heir.sockets.length);
});

test("an heir of a survivor opens anew what the kernel did not hand out", () => {
  const lost = fake();
  const held = [Object.assign(lost, { adopted: { ...lost.listenFor(1), isForeign: true } })];
  const [survivor, heir] = [new Listeners(1, held), new Listeners(2, held)];
  survivor.adopt([]);
  heir.inherit(survivor);
  expect(generationsOf(heir)).toEqual([2]);
});
