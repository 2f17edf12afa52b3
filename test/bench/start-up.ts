/** What it costs to have hupwatch before a command that ends at once, against the runtime alone, in turns. */
import { median } from "../../fixtures/demo/text.ts";
import { LAUNCHER } from "../../fixtures/demo/wrapped.ts";
import { ms, type Row } from "./row.ts";

/**
 * In CPU time, which other programs disturb least. Of 8 to 9 times the runtime: 1 is the runtime itself, 1 its built-in modules (fs, util,
 * os, ffi), 0.7 its first watch on a directory, 2 to 3 the decoding and evaluation of what a run needs (bytecode already), 0.1 the
 * launcher's shell; the rest is the work: plan, lock and state file, spawn, and a look that finds nothing left. A bundle without the other
 * sub-commands, or minified, is not quicker by more than 0.3.
 */
const BUDGET = { none: 9, intercept: 11 };

export function startUp(rounds: number): Row[] {
  const commands = {
    bare: [process.execPath, "-e", "0"],
    none: [LAUNCHER, "--handover", "none", "--", "true"],
    intercept: [LAUNCHER, "--handover", "intercept", "--", "true"],
  };
  const took = { bare: [], none: [], intercept: [] } as Record<keyof typeof commands, Took[]>;
  for (let round = 0; round < rounds; round++)
    for (const kind of ["bare", "none", "intercept"] as const) took[kind].push(run(commands[kind]));
  return (["none", "intercept"] as const).map((handover) => {
    const of = (kind: keyof typeof commands, what: keyof Took) => median(took[kind].map((one) => one[what]));
    const cpu = of(handover, "cpuMs") / of("bare", "cpuMs");
    const wall = of(handover, "wallMs") / of("bare", "wallMs");
    return {
      what: `CPU of hupwatch --handover ${handover} -- true / of bun -e 0 (medians of ${rounds})`,
      budget: `<= ${BUDGET[handover]}`,
      measured: `${cpu.toFixed(1)} (${ms(of(handover, "cpuMs"))} / ${ms(of("bare", "cpuMs"))}; wall ${wall.toFixed(1)})`,
      met: cpu <= BUDGET[handover],
    };
  });
}

interface Took {
  cpuMs: number;
  wallMs: number;
}

function run(command: string[]): Took {
  const before = performance.now();
  const env = { ...process.env, HUPWATCH_BUN: process.execPath };
  const { exitCode, stderr, resourceUsage } = Bun.spawnSync(command, { env, stdout: "ignore" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stderr}`);
  return { wallMs: performance.now() - before, cpuMs: Number(resourceUsage.cpuTime.total) / 1000 };
}
