/** "200 hupwatches on one machine": what one of them writes into their run directory wakes no other one. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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

/** Inodes that this process has told the kernel to watch (proc_pid_fdinfo(5)). */
function watchedInodes(): number[] {
  const watches = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
    } catch {
      return ""; // of the listing itself
    }
  });
  return [...watches.join("").matchAll(/^inotify wd:\w+ ino:(\w+)/gm)].map(([, ino]) => Number(`0x${ino}`));
}

test("its own files are watched, and made anew each time; the directory, in which others write, is not", async () => {
  using dir = tempDir();
  const { clock, due } = turned();
  const own = ["lock", "sock", "json"].map((kind) => `${dir.path}/shop.${kind}`);
  let made = 0;
  const restore = () => {
    for (const file of own) {
      if (statSync(file, { throwIfNoEntry: false })) continue;
      writeFileSync(file, "");
      made++;
    }
  };
  const turn = () => due.splice(0).forEach((then) => void then());
  using _upkeep = new Upkeep(dir.path, "shop", clock, restore);
  writeFileSync(`${dir.path}/other.lock`, "");
  while (due.length > 0) turn();
  for (const [n, file] of [...own, ...own].entries()) {
    expect(watchedInodes()).toEqual(expect.arrayContaining(own.map((one) => statSync(one).ino)));
    rmSync(file);
    await until(() => due.length > 0, { what: `a look because of ${file}` });
    while (due.length > 0) turn();
    expect(made).toBe(own.length + n + 1);
  }
  const others = [dir.path, `${dir.path}/other.lock`].map((path) => statSync(path).ino);
  expect(watchedInodes().filter((ino) => others.includes(ino))).toEqual([]);
});
