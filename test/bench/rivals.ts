/**
 * Every way to reload that we know, in one table, each judged by `hupwatch verify` under the same load on the same machine:
 *
 *     bun run bench:rivals [--only REGEX] [--swaps N] [--rounds N] [--rate N] [--of FORM] [--below LOAD] [--go-on] [--print]
 *     bun run bench:rivals --short
 *
 * All take turns, several rounds, so that a busy machine is busy for all of them. The whole table is written into
 * src/verify/README.md, and what the first document quotes of it into that. It takes about half an hour; `--short` takes a quarter of one: one round of two swaps, and what has had no turn
 * after that is named. `--go-on` keeps the turns that an unfinished run has made, `--below` waits before each until the load average is
 * below that, in the first half an hour, and `--print` prints and writes what is there without another turn.
 */
import { existsSync } from "node:fs";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { README, VERIFY_README, withPart } from "../readme.ts";
import { installServers } from "../setup/install-servers.ts";
import { CACHE } from "../setup/places.ts";
import { makeVirtualenv } from "../setup/virtualenv.ts";
import { FORMS, install } from "./installed.ts";
import { RIVALS } from "./rivals/contenders.ts";
import { installAll } from "./rivals/installed.ts";
import type { Rival } from "./rivals/rival.ts";
import { isHere, type Kept, keyOf, quoteOf, renderRivals } from "./rivals/table.ts";
import { judged } from "./rivals/turn.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    swaps: { type: "string" },
    rounds: { type: "string" },
    rate: { type: "string", default: "100" },
    short: { type: "boolean", default: false },
    of: { type: "string", default: "package" },
    below: { type: "string", default: "Infinity" },
    "go-on": { type: "boolean", default: false },
    print: { type: "boolean", default: false },
  },
});
const form = FORMS.find((known) => known === values.of);
if (form === undefined) {
  console.error(`bench:rivals: no form '${values.of}'\nTo fix: name one of ${FORMS.join(", ")}`);
  process.exit(2);
}
const pace = {
  swaps: Number(values.swaps ?? (values.short ? 2 : 5)),
  rate: Number(values.rate),
  ...(values.short ? { every: "1s" } : {}),
};
const rounds = Number(values.rounds ?? (values.short ? 1 : 2));
/** Of the whole run, for a quiet machine. */
const PATIENCE_MS = 1_800_000;
/** Of `--short`: the last turn ends within its quarter of an hour, also where its swaps never end. */
const SHORT_MS = 750_000;
const KEPT = `${CACHE}/rivals-table.json`;
const kept: Kept =
  (values["go-on"] || values.print) && existsSync(KEPT) ? await Bun.file(KEPT).json() : { turns: [] };

await makeVirtualenv();
installServers({ forTable: false });
installAll();
const wanted = RIVALS.filter((rival) => new RegExp(values.only, "i").test(keyOf(rival)));

/** What has been started is ended in good order. */
const ending = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => ending.abort());

/** The load average is of the last minute, in which our own turn before may have been. */
async function quietBelow(limit: number): Promise<void> {
  while ((loadavg()[0] ?? 0) >= limit && performance.now() < PATIENCE_MS && !ending.signal.aborted)
    await Bun.sleep(1000);
}

async function takeTurn(rival: Rival, round: number, launcher: string): Promise<void> {
  const key = keyOf(rival);
  if (kept.turns.some((turn) => turn.key === key && turn.round === round)) return;
  await quietBelow(Number(values.below));
  const turn = { key, round, busy: loadavg()[0] ?? 0 };
  try {
    kept.turns.push({ ...turn, seen: await judged(rival, pace, launcher, ending.signal) });
  } catch (error) {
    if (ending.signal.aborted) return;
    kept.turns.push({ ...turn, why: String(error) });
  }
  console.error(`${round}/${rounds} ${JSON.stringify(kept.turns.at(-1))}`);
  await Bun.write(KEPT, JSON.stringify(kept));
}

if (!values.print) {
  using hupwatch = await install(form);
  const isInTime = () => !values.short || performance.now() < SHORT_MS;
  for (let round = 1; round <= rounds; round++)
    for (const rival of wanted.filter(isHere))
      if (!ending.signal.aborted && isInTime()) await takeTurn(rival, round, hupwatch.launcher);
}

if (ending.signal.aborted) {
  console.error("broken off: go on with --go-on, or print what there is with --print");
  process.exit(1);
}

const table = renderRivals(wanted, kept, pace);
console.log(table);
if (values.only === "") {
  const text = await Bun.file(VERIFY_README).text();
  await Bun.write(VERIFY_README, withPart(text, "rivals", `\n\n${table}\n\n`));
  const first = await Bun.file(README).text();
  await Bun.write(README, withPart(first, "rivals", `\n${quoteOf(wanted, kept)}\n`));
}
process.exit(0);
