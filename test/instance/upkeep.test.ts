/** "200 hupwatches on one machine": what one of them writes into their run directory wakes no other one. */
import { expect, test } from "bun:test";
import { mkdirSync, watch, writeFileSync } from "node:fs";
import { Upkeep } from "../../src/instance/upkeep.ts";
import { type Clock, realClock } from "../../src/os/clock.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";

/** A clock that is turned by hand: `due` is what waits for it. */
function turned(): { clock: Clock; due: (() => void)[] } {
  const due: (() => void)[] = [];
  const after = (_: number, then: () => void) => {
    due.push(then);
    return { [Symbol.dispose]: () => {} };
  };
  return { clock: { ...realClock, after }, due };
}

test("its own files and the directory itself are looked after, and no other instance's", async () => {
  using dir = tempDir();
  const { clock, due } = turned();
  let looks = 0;
  using _upkeep = new Upkeep(dir.path, "shop", clock, () => {
    looks++;
    return false;
  });
  const turn = () => due.splice(0).forEach((then) => void then());
  turn();
  expect(looks).toBe(1);
  const seen: string[] = [];
  using _watcher = closing(watch(dir.path, (_, file) => void seen.push(`${file}`)));
  for (const file of [
    "other.json.new",
    "other.json",
    "other.lock",
    "other.sock",
    "shopping.lock",
    "other.keeper",
  ])
    writeFileSync(`${dir.path}/${file}`, "");
  await until(() => seen.includes("other.keeper"), { what: "the watch beside it to have seen all" });
  expect(due).toEqual([]);
  for (const file of ["shop.lock", "what"]) {
    // One event: a file that is written has several.
    mkdirSync(`${dir.path}/${file}`);
    await until(() => due.length > 0, { what: `a look because of ${file}` });
    turn();
  }
  expect(looks).toBe(3);
});

const closing = (watcher: { close(): void }): Disposable => ({ [Symbol.dispose]: () => watcher.close() });
