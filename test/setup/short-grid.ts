/**
 * The rig's short grid as a part of the tests: in Docker; where none can be had here, in namespaces of this machine, and
 * what cannot be tried in them either is skipped. Everything is counted, and said by the rig itself with its reason.
 */
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Grid } from "../../docker/rig/grid.ts";
import { ROOT } from "./places.ts";
import type { Counts } from "./summary.ts";

/** The rig's own deadlines end what hangs; these are for the rig itself. Half an hour is what CI has for all. */
const OUTSIDE_LIMIT_MS = 15 * 60_000;
const INSIDE_LIMIT_MS = 5 * 60_000;
const LAST_WORDS_MS = 20_000;
/** Of docker/rig/rig.ts. */
const NOTHING_TO_TRY_WITH = 3;

/** One failure where the rig ends without a result. */
export async function runShortGrid(): Promise<Counts> {
  const outside = await runRig("docker/rig/rig.ts", OUTSIDE_LIMIT_MS);
  if (outside.grid) return countGrid(outside.grid);
  if (outside.code !== NOTHING_TO_TRY_WITH) return failed(`docker/rig/rig.ts: exit code ${outside.code}`);
  console.log(`skipped the grid in Docker: ${outside.why}`);
  const inside = await runRig("docker/rig/inside.ts", INSIDE_LIMIT_MS);
  if (!inside.grid) return failed(`docker/rig/inside.ts: exit code ${inside.code}`);
  const counts = countGrid(inside.grid);
  return { ...counts, skipped: counts.skipped + 1 };
}

function failed(what: string): Counts {
  console.log(`FAILED ${what}, and no result`);
  return { passed: 0, failed: 1, skipped: 0 };
}

export function countGrid({ cells, extras }: Pick<Grid, "cells" | "extras">): Counts {
  const kinds = [...cells, ...extras].map(({ outcome }) => outcome.kind);
  const count = (kind: string) => kinds.filter((k) => k === kind).length;
  return { passed: count("green"), failed: count("red"), skipped: count("skipped") };
}

interface Ended {
  code: number;
  grid: Grid | undefined;
  /** The first line behind its progress. */
  why: string;
}

async function runRig(program: string, limitMs: number): Promise<Ended> {
  const file = `${tmpdir()}/hupwatch-grid-${crypto.randomUUID()}.json`;
  console.log(`\nbun ${program}`);
  const rig = Bun.spawn([process.execPath, `${ROOT}/${program}`, "--json", file], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "pipe"],
  });
  // It stops its containers and its engine first.
  const end = setTimeout(() => rig.kill("SIGTERM"), limitMs);
  const force = setTimeout(() => rig.kill("SIGKILL"), limitMs + LAST_WORDS_MS);
  let said = "";
  const decoder = new TextDecoder();
  for await (const bytes of rig.stderr) {
    process.stderr.write(bytes);
    said += decoder.decode(bytes, { stream: true });
  }
  const code = await rig.exited;
  const why =
    said
      .split(/^\[ *\d+ s\].*\n/m)
      .at(-1)
      ?.split("\n")[0] ?? "";
  clearTimeout(end);
  clearTimeout(force);
  try {
    return { code, why, grid: JSON.parse(readFileSync(file, "utf8")) };
  } catch {
    return { code, why, grid: undefined };
  } finally {
    rmSync(file, { force: true });
  }
}
