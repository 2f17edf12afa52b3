/** How fast the load generator is over a Unix socket, beside a small Bun server. `bun run bench:load` compares it to others. */
import { Place } from "../../fixtures/demo/place.ts";
import { count } from "../../fixtures/demo/text.ts";
import { LAUNCHER } from "../../fixtures/demo/wrapped.ts";
import type { LoadReport } from "../../src/load/result.ts";
import type { Row } from "./row.ts";

const BUDGETS = { keepalive: 100_000, fresh: 30_000 };

export async function loadRate(seconds: number): Promise<Row[]> {
  using place = new Place();
  const server = Bun.spawn([process.execPath, `${import.meta.dir}/load-server.ts`, place.socket], {
    env: place.environment(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  // Its first line says that it listens; it has no other reason to write.
  await server.stdout.getReader().read();
  return (["keepalive", "fresh"] as const).map((mode) => {
    const options = ["-q", "--json", "-m", mode, "-d", `${seconds}s`];
    const { stdout } = Bun.spawnSync([LAUNCHER, "load", ...options, `unix:${place.socket}`], {
      env: place.environment({ HUPWATCH_BUN: process.execPath }),
    });
    const { okPerSecond } = JSON.parse(stdout.toString()) as LoadReport;
    return {
      what: `hupwatch load, ${mode}, Unix, answers a second`,
      budget: `>= ${count(BUDGETS[mode])}`,
      measured: count(Math.round(okPerSecond)),
      met: okPerSecond >= BUDGETS[mode],
    };
  });
}
