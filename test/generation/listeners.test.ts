/** Which listeners belong to which generation: between a generation, its successor and the held sockets. */
import { expect, test } from "bun:test";
import { Listeners } from "../../src/generation/listeners.ts";
import { FakeHeld, type FakeListener } from "../fake-os/sockets.ts";

const fake = () => new FakeHeld(() => {});
const generationsOf = (listeners: Listeners) =>
  [...listeners].map(([, listener]) => (listener as FakeListener).generation);

test("a successor has the very listeners of the dead one, which releases nothing", () => {
  const held = [fake(), fake()];
  const [first, successor] = [new Listeners(1, held), new Listeners(2, held)];
  first.open({ probePath: undefined, nonblocking: false });
  successor.succeed(first);
  first.release();
  expect(first.hasSuccessor).toBe(true);
  expect(generationsOf(successor)).toEqual([1, 1]);
  expect(held.map(({ open }) => [...open])).toEqual([[1], [1]]);
  successor.release();
  expect(held.map(({ open }) => [...open])).toEqual([[], []]);
});

test("a successor that is gone before the dead one's leftover processes leaves them theirs: the last of all closes them", () => {
  const held = [fake()];
  const [first, second, third] = [1, 2, 3].map((gen) => new Listeners(gen, held)) as [
    Listeners,
    Listeners,
    Listeners,
  ];
  first.open({ probePath: undefined, nonblocking: false });
  second.succeed(first);
  third.succeed(second);
  second.release();
  third.release();
  expect(generationsOf(first)).toEqual([1]);
  expect(held[0]?.open).toEqual(new Set([1]));
  first.release();
  expect(held[0]?.open).toEqual(new Set());
});

test("a survivor's successor opens those that the survivor did not have, in the order of the held sockets", () => {
  const withDescriptor = () => Object.assign(fake(), { holder: { heldBy: "hupwatch", fd: 1000 } as const });
  const adopted = withDescriptor();
  const held = [
    withDescriptor(),
    Object.assign(adopted, { adopted: adopted.listenFor(1) }),
    withDescriptor(),
  ];
  const [survivor, successor] = [new Listeners(1, held), new Listeners(2, held)];
  survivor.adopt([]);
  expect(generationsOf(survivor)).toEqual([1]);
  successor.succeed(survivor);
  expect(generationsOf(successor)).toEqual([2, 1, 2]);
  expect(successor.descriptors).toHaveLength(successor.sockets.length);
});

test("a survivor's successor opens anew what the kernel did not hand out", () => {
  const lost = fake();
  const held = [
    Object.assign(lost, { adopted: { ...lost.listenFor(1), heldBy: "survivor" as const, fd: undefined } }),
  ];
  const [survivor, successor] = [new Listeners(1, held), new Listeners(2, held)];
  survivor.adopt([]);
  successor.succeed(survivor);
  expect(generationsOf(successor)).toEqual([2]);
});
