/** Judges the evidence: one function a check, in the order of the report. Pure; nothing is measured here. */
import type { Check, Judge } from "./check.ts";
import { halfSentPost, hups, keptAtFlip, queuedAtFlip, unreadAtStop } from "./checks-dangers.ts";
import {
  bodies,
  conservation,
  drops,
  exactlyOnce,
  generator,
  keepAliveRaces,
  streams,
} from "./checks-requests.ts";
import { comparison, growth, leftovers, memory, order, replaced, swaps, versions } from "./checks-service.ts";
import { gap, mixedVersions, p99, p999, timings } from "./checks-time.ts";
import type { Evidence } from "./evidence.ts";
import type { Loss } from "./losses.ts";
import { count } from "./words.ts";

const JUDGES: readonly Judge[] = [
  ...[swaps, order, replaced, conservation, drops, keepAliveRaces, exactlyOnce, bodies, streams, versions],
  ...[keptAtFlip, queuedAtFlip, unreadAtStop, halfSentPost, hups],
  ...[mixedVersions, gap, p99, p999, timings],
  ...[comparison, leftovers, growth, memory, generator],
];

const DETAILS_MAX = 20;

export function judge(evidence: Evidence, losses: Loss[]): Check[] {
  const facts = { evidence, losses, swaps: evidence.stages.find((s) => s.name === "swaps") };
  return JUDGES.flatMap((look) => look(facts) ?? []).map((check) => ({
    ...check,
    details: shortened(check.details),
  }));
}

const shortened = (lines: string[]): string[] =>
  lines.length <= DETAILS_MAX
    ? lines
    : [...lines.slice(0, DETAILS_MAX), `and ${count(lines.length - DETAILS_MAX)} more`];
