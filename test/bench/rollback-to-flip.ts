/** From the control request `rollback`, while the old generation is kept, to the flip: another inode at the public path. */
import { statSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { median } from "../../fixtures/demo/text.ts";
import type { StatusAnswer } from "../../src/control/protocol.ts";
import { until } from "../harness/until.ts";
import { SLEEPER, startLight } from "./light.ts";
import { ms, type Row } from "./row.ts";

const BUDGET_MS = 50;
const NAME = "bench";

export async function rollbackToFlip(times: number): Promise<Row[]> {
  await using light = await startLight(({ socket }) => [
    ...["--name", NAME, "-w", "0", "--keep", "1h", "-b", `unix:${socket}`, "--ready", "delay:0", "--"],
    ...SLEEPER,
  ]);
  const { hupwatch, place } = light;
  const control = (path: string, method: "GET" | "POST") =>
    fetch(`http://hupwatch${path}`, { unix: `${place.runDir}/${NAME}.sock`, method });
  const isIn = async (phase: StatusAnswer["phase"]) =>
    ((await (await control("/status", "GET")).json()) as StatusAnswer).phase === phase;
  const reached = (phase: StatusAnswer["phase"]) =>
    until(() => isIn(phase), { what: `the phase '${phase}'` });
  const took: number[] = [];
  for (let n = 0; n < times; n++) {
    await reached("serving");
    hupwatch.hup();
    await reached("warm");
    const before = statSync(place.socket).ino;
    const askedAt = performance.now();
    const answered = control("/rollback", "POST");
    while (statSync(place.socket).ino === before) await turn();
    took.push(performance.now() - askedAt);
    const { ok, status } = await answered;
    if (!ok) throw new Error(`rollback was answered with ${status}`);
  }
  return [
    {
      what: `control request 'rollback' to the flip (median of ${times})`,
      budget: `<= ${BUDGET_MS} ms`,
      measured: `${ms(median(took))} (${ms(Math.max(...took))} at most)`,
      met: median(took) <= BUDGET_MS,
    },
  ];
}
