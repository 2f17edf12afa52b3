/** Between holding the sockets and the supervisor that has them, a start may fail: it lets go of what it holds. */
import { expect, test } from "bun:test";
import { Held } from "../../src/instance/adoption.ts";
import { FakeHeld } from "../fake-os/sockets.ts";

function held({ isInUse }: { isInUse: boolean }) {
  const journal: string[] = [];
  return { journal, held: new Held([new FakeHeld((what) => journal.push(what))], isInUse) };
}

test("I7: where generations live behind them, nothing is taken away from these", () => {
  const { held: sockets, journal } = held({ isInUse: true });
  sockets[Symbol.dispose]();
  expect(journal).toEqual(["leave sockets"]);
});

test("else they are closed, and their names are removed", () => {
  const { held: sockets, journal } = held({ isInUse: false });
  sockets[Symbol.dispose]();
  expect(journal).toEqual(["close sockets"]);
});

test("the owner that they were given to lets go of them, and no other does", () => {
  const { held: sockets, journal } = held({ isInUse: false });
  {
    using next = sockets.pass();
    sockets[Symbol.dispose]();
    expect(next.give()).toHaveLength(1);
  }
  expect(journal).toEqual([]);
});
