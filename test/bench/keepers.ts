/** The keepers of what is measured: they are in sessions of their own, and known by their name. */
import { readFileSync } from "node:fs";
import type { Place } from "../../fixtures/demo/place.ts";
import { stockOf } from "../../fixtures/demo/stock.ts";

/** As src/intercept/entry.ts names it, in the 15 bytes that the kernel has for it. */
const NAME = "hupwatch-keeper";

export interface KeeperTaken {
  pid: number;
  privateDirtyKb: number;
}

export const keepersOf = (place: Place): KeeperTaken[] =>
  place
    .processes()
    .filter(({ pid }) => readFileSync(`/proc/${pid}/comm`, "latin1").trim() === NAME)
    .map(({ pid }) => ({ pid, privateDirtyKb: stockOf(pid).privateDirtyKb }));
