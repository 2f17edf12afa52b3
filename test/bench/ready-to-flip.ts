/**
 * From the answer that passed the last readiness check to the flip, both seen from outside: the child notes when it
 * answers, and the flip is another inode at the public path.
 */
import { statSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { median } from "../../fixtures/demo/text.ts";
import { notes, preciseNow, startLight } from "./light.ts";
import { ms, type Row } from "./row.ts";

const BUDGET_MS = 10;

export async function readyToFlip(swaps: number): Promise<Row[]> {
  await using light = await startLight(({ path, socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "http"],
    ...["--", process.execPath, `${import.meta.dir}/answering-child.ts`, `${path}/answered`],
  ]);
  const { hupwatch, place } = light;
  const { signal } = new AbortController();
  const took: number[] = [];
  for (let n = 0; n < swaps; n++) {
    const before = statSync(place.socket).ino;
    const answers = notes(`${place.path}/answered`).length;
    hupwatch.hup();
    while (statSync(place.socket).ino === before) await turn();
    const flippedAt = preciseNow();
    took.push(flippedAt - Number(notes(`${place.path}/answered`)[answers]));
    await hupwatch.idle(signal);
  }
  return [
    {
      what: `last readiness answer to the flip (median of ${swaps})`,
      budget: `<= ${BUDGET_MS} ms`,
      measured: ms(median(took)),
      met: median(took) <= BUDGET_MS,
    },
  ];
}
