/** From kill -HUP to the new command: a bash that notes the time first of all. What its own start takes is taken off. */
import { median } from "../../fixtures/demo/text.ts";
import { notes, preciseNow, startLight } from "./light.ts";
import { ms, type Row } from "./row.ts";

const BUDGET_MS = 5;
const NOTE_AND_STAY = 'echo $EPOCHREALTIME >>"$0"; exec sleep infinity';

export async function hupToExec(swaps: number): Promise<Row[]> {
  const took = await hupToExecMs(swaps);
  const bash = bashStart(swaps);
  const net = median(took) - bash;
  return [
    {
      what: `HUP to the new command's exec (median of ${swaps})`,
      budget: `<= ${BUDGET_MS} ms`,
      measured: `${ms(net)} (${ms(median(took))} less bash's own start)`,
      met: net <= BUDGET_MS,
    },
  ];
}

/** In milliseconds, for each of so many swaps, bash's own start included.  */
export async function hupToExecMs(
  swaps: number,
  handover: readonly string[] = ["--handover", "systemd"],
): Promise<number[]> {
  await using light = await startLight(({ path, socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0", ...handover],
    ...["--", "bash", "-c", NOTE_AND_STAY, `${path}/started`],
  ]);
  const file = `${light.place.path}/started`;
  const took: number[] = [];
  for (let n = 0; n < swaps; n++) {
    const before = notes(file).length;
    const hupAt = preciseNow();
    await light.swap();
    const startedAt = Number(notes(file)[before]) * 1000;
    took.push(startedAt - hupAt);
  }
  return took;
}

/** What the note costs by itself, started by another bash. */
function bashStart(times: number): number {
  const took: number[] = [];
  for (let n = 0; n < times; n++) {
    const script = 'a=$EPOCHREALTIME; bash -c "echo \\$EPOCHREALTIME"; echo $a';
    const { stdout } = Bun.spawnSync(["bash", "-c", script]);
    const [inner = 0, outer = 0] = stdout.toString().trim().split("\n").map(Number);
    took.push((inner - outer) * 1000);
  }
  return median(took);
}
