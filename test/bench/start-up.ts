/** What it costs to have hupwatch before a command that ends at once, against the runtime alone, in turns. */
import { median } from "../../fixtures/demo/text.ts";
import { LAUNCHER } from "../../fixtures/demo/wrapped.ts";
import { ms, type Row } from "./row.ts";

const BUDGET = 3;

export function startUp(rounds: number): Row[] {
  const bare: number[] = [];
  const wrapped: number[] = [];
  for (let round = 0; round < rounds; round++) {
    bare.push(wall([process.execPath, "-e", "0"]));
    wrapped.push(wall([LAUNCHER, "--", "true"]));
  }
  const ratio = median(wrapped) / median(bare);
  return [
    {
      what: `hupwatch -- true / bun -e 0 (medians of ${rounds})`,
      budget: `<= ${BUDGET}`,
      measured: `${ratio.toFixed(1)} (${ms(median(wrapped))} / ${ms(median(bare))})`,
      met: ratio <= BUDGET,
    },
  ];
}

function wall(command: string[]): number {
  const before = performance.now();
  const env = { ...process.env, HUPWATCH_BUN: process.execPath };
  const { exitCode, stderr } = Bun.spawnSync(command, { env, stdout: "ignore" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stderr}`);
  return performance.now() - before;
}
