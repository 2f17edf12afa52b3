/** What shows that swaps replaced anything at all: a reload that does nothing drops nothing. Pure. */

import type { Evidence, Stage } from "./evidence.ts";
import { type VersionSpan, versionsOf } from "./figures.ts";
import type { Swap } from "./journal.ts";

/**
 * `processes`: another process serves (serving.ts). `version`: an X-Version that had not answered before. `hupwatch`: its
 * own word, by the control socket. The first does not rely on anything that the server says.
 */
export type Proof = "processes" | "version" | "hupwatch";

export interface Replacement {
  /** Swaps that came about, each with what shows that it replaced something. */
  proofs: Proof[][];
  /** Why some show nothing; empty where each shows something. */
  why: string[];
}

/** An answer may be on its way when a swap has ended. */
const SLACK_MS = 100;

export function replacementOf({ plan }: Evidence, stage: Stage | undefined): Replacement {
  const swaps = stage?.swaps.filter((s) => s.outcome === "swapped" && s.endMs !== undefined) ?? [];
  const spans = stage ? versionsOf(stage, () => true) : [];
  const stray = strayVersion(spans, swaps);
  const proofs = swaps.map((swap) => {
    const found: Proof[] = [];
    if (swap.processes?.change === "new") found.push("processes");
    if (!stray && spans.slice(1).some((span) => isWithin(span, swap))) found.push("version");
    if (plan.subject.kind === "hupwatch") found.push("hupwatch");
    return found;
  });
  const bare = swaps.filter((_, i) => proofs[i]?.length === 0);
  return { proofs, why: bare.length === 0 ? [] : [...processesOf(bare), versionsSaid(spans, stray)] };
}

/** A release answers first while its swap goes on. A version that changes by itself tells of no release. */
const strayVersion = (spans: readonly VersionSpan[], swaps: readonly Swap[]) =>
  spans.slice(1).find((span) => !swaps.some((swap) => isWithin(span, swap)));

const isWithin = ({ firstMs }: VersionSpan, { startMs, endMs }: Swap): boolean =>
  firstMs >= startMs && firstMs <= (endMs ?? 0) + SLACK_MS;

function processesOf(bare: readonly Swap[]): string[] {
  const same = bare.find(({ processes }) => processes?.change === "same")?.processes?.before;
  return [
    same
      ? `the same processes serve before and after: ${same.join(", ")}`
      : "the processes behind the address cannot be read: try it as root, on their machine",
  ];
}

function versionsSaid(spans: readonly VersionSpan[], stray: VersionSpan | undefined): string {
  const advice = "let each answer name its release in X-Version";
  if (spans.length === 0) return `no answer had X-Version: ${advice}`;
  if (stray)
    return `version ${stray.version} came while no swap was going on: raise --settle, or give --ready-cmd, if the reload takes longer; else ${advice}`;
  return spans.length === 1
    ? `only version ${spans[0]?.version} answered: ${advice}`
    : "some swaps brought no version that had not answered before";
}
