/**
 * What a hupwatch takes on a machine with thousands of processes of others, against the same hupwatch before these are there: scraped
 * and watched each second, in a swap, at a takeover.
 */
import { existsSync, readdirSync } from "node:fs";
import { median } from "../../../fixtures/demo/text.ts";
import { LAUNCHER, Wrapped } from "../../../fixtures/demo/wrapped.ts";
import { type Light, SLEEPER, startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { Crowd } from "./crowd.ts";
import { cpuMsIn, cpuMsOf } from "./usage.ts";

const SECONDS = 10;
const SWAPS = 3;
/** Against none of others. The list of processes itself is read in a swap; at a takeover each of them once. */
const BUDGET = { ratio: 2, msPerThousand: { swap: 40, takeover: 90 } };

interface Costs {
  /** Of hupwatch, for one scrape a second. */
  scrape: number;
  /** Of hupwatch, and of the one that asks, for each second of `status --watch`. */
  watched: number;
  watching: number;
  swap: number;
  takeover: number;
}

export async function amongOthers(size: number): Promise<Row[]> {
  const alone = await costs(0);
  const crowded = await costs(size);
  return [
    ratioRow("scrape", "CPU of /metrics, scraped each second,"),
    ratioRow("watched", "CPU of hupwatch for a second of 'status --watch'"),
    ratioRow("watching", "CPU of that 'status --watch' itself"),
    ...(["swap", "takeover"] as const).map(growthRow),
  ];

  function ratioRow(of: "scrape" | "watched" | "watching", what: string): Row {
    const ratio = crowded[of] / alone[of];
    return {
      what: `${what} with ${size} processes of others / with none`,
      budget: `<= ${BUDGET.ratio}`,
      measured: `${ratio.toFixed(2)} (${ms(crowded[of])} / ${ms(alone[of])})`,
      met: ratio <= BUDGET.ratio,
    };
  }

  function growthRow(what: "swap" | "takeover"): Row {
    const growth = (1000 * (crowded[what] - alone[what])) / size;
    return {
      what: `CPU of a ${what} for each 1,000 processes of others`,
      budget: `<= ${BUDGET.msPerThousand[what]} ms`,
      measured: `${growth.toFixed(1)} ms (${ms(alone[what])} alone, ${ms(crowded[what])} with ${size})`,
      met: growth <= BUDGET.msPerThousand[what],
    };
  }
}

const ms = (n: number): string => `${n.toFixed(2)} ms`;

/** The others begin after it: what is older than a generation is never read, except at a takeover. */
async function costs(others: number): Promise<Costs> {
  await using light = await startLight(wrapped);
  await using _crowd = await Crowd.gather(others);
  const { pid } = light.hupwatch;
  await scrapes(light, 1);
  const scrape = (await cpuMsIn(pid, () => scrapes(light, SECONDS))) / SECONDS;
  const look = await watchedFor(light);
  const swaps: number[] = [];
  for (let n = 0; n < SWAPS; n++) swaps.push(await cpuMsIn(pid, () => light.swap()));
  return { scrape, ...look, swap: median(swaps), takeover: await takeover(light) };
}

const wrapped = ({ socket }: { socket: string }) => [
  ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0", "--name", "light", "--", ...SLEEPER],
];

/** The first one loads what answers; a scrape a second, as Prometheus' own are at the most. */
async function scrapes({ place }: Light, times: number): Promise<void> {
  const socket = readdirSync(place.runDir).find((file) => file.endsWith(".sock"));
  for (let n = 0; n < times; n++) {
    await (await fetch("http://hupwatch/metrics", { unix: `${place.runDir}/${socket}` })).text();
    await Bun.sleep(1000);
  }
}

async function watchedFor({ hupwatch, place }: Light): Promise<{ watched: number; watching: number }> {
  const words = [LAUNCHER, "status", "--watch", "--run-dir", place.runDir];
  const env = place.environment({ HUPWATCH_BUN: process.execPath });
  await using watch = Bun.spawn(words, { env, stdio: ["ignore", "pipe", "inherit"] });
  // It has looked once, and waits.
  await watch.stdout.getReader().read();
  let watching = 0;
  const watched = await cpuMsIn(hupwatch.pid, async () => {
    watching = await cpuMsIn(watch.pid, () => Bun.sleep(1000 * SECONDS));
  });
  return { watched: watched / SECONDS, watching: watching / SECONDS };
}

/** From its start until it serves, of the hupwatch that comes after one that was killed. */
async function takeover({ hupwatch, place }: Light): Promise<number> {
  const { pid } = hupwatch;
  process.kill(pid, "SIGKILL");
  while (existsSync(`/proc/${pid}/fd/0`)) await Bun.sleep(10);
  const { signal } = new AbortController();
  await using next = await Wrapped.start({ cwd: place.path, wrapped: wrapped(place) }, place, signal);
  return cpuMsOf(next.pid);
}
