/** What the turns showed, and the table of it. */
import { existsSync } from "node:fs";
import { release } from "node:os";
import { median } from "../../../fixtures/demo/text.ts";
import { ELSEWHERE } from "./contenders.ts";
import type { Rival } from "./rival.ts";
import type { Pace, Turn } from "./turn.ts";

/** Of one turn; milliseconds. */
export interface Seen {
  started: number;
  /** By class, a keep-alive race as `race`. */
  dropped: Record<string, number>;
  /** Answers of an older version on new connections, after a newer one had answered. */
  older: number;
  mixedMs: number;
  /** p99.9 of requests that touched a swap over the steady one; null where one of them was not measured. */
  ratio: number | null;
  gapMs: number;
  wrapperKb: number | undefined;
  /** From the reload's start to the first answer of the new version, and until the old one is gone: medians. */
  servesMs: number | null;
  overMs: number | null;
  swapped: number;
  swaps: number;
  /** The load could not keep its pace: its times are noise. */
  limited: boolean;
}

export interface Kept {
  turns: { key: string; round: number; busy: number; seen?: Seen; why?: string }[];
}

export const keyOf = ({ server, name, transport }: Rival): string => `${server}: ${name}, ${transport}`;

export const missingOf = ({ needs }: Rival): string[] =>
  needs.filter((program) => !(program.includes("/") ? existsSync(program) : Bun.which(program) !== null));
export const isHere = (rival: Rival): boolean => missingOf(rival).length === 0;

export function seenIn({ report, wrapperKb }: Turn): Seen {
  const [stage] = report.stages;
  const dropped: Record<string, number> = {};
  for (const { loss, class: name, count } of report.losses) {
    if (loss !== "drop" && loss !== "race" && loss !== "integrity") continue;
    const key = loss === "race" ? "race" : name;
    dropped[key] = (dropped[key] ?? 0) + count;
  }
  const fresh = stage?.runs.filter(({ mode }) => mode === "fresh" || mode === "burst") ?? [];
  const [all] = report.latency;
  const isMeasured = all && all.steady.count > 0 && all.swap.count > 0;
  return {
    started: report.requests.started,
    dropped,
    older: fresh.reduce((sum, { load }) => sum + load.versionRegressions, 0),
    mixedMs: Math.max(0, ...report.versions.mixedMsOnNewConnections),
    ratio: isMeasured ? all.swap.p999Us / Math.max(1, all.steady.p999Us) : null,
    gapMs: Math.max(0, ...report.gaps.map(({ ms }) => ms)),
    wrapperKb,
    servesMs: report.timings.signalToNewAnswerMs?.p50 ?? null,
    overMs: report.timings.signalToReadyMs?.p50 ?? null,
    swapped: stage?.swaps.filter(({ outcome }) => outcome === "swapped").length ?? 0,
    swaps: stage?.swaps.length ?? 0,
    limited: report.checks.some(({ name, status }) => name === "generator" && status !== "pass"),
  };
}

const HEAD = [
  ...["server", "reload", "dropped", "by class", "older after newer", "mixed", "p99.9 in swaps / steady"],
  ...["longest gap", "wrapper's memory", "HUP to serving", "to the old one's end"],
];

export function renderRivals(rivals: readonly Rival[], { turns }: Kept, { swaps, rate }: Pace): string {
  const rowOf = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rows = rivals.flatMap((rival) => {
    const own = turns.filter(({ key }) => key === keyOf(rival));
    const seen = own.flatMap((turn) => turn.seen ?? []);
    return seen.length > 0 ? [rowOf(cellsOf(rival, seen))] : [];
  });
  const failed = turns.filter(({ why }) => why !== undefined);
  const rounds = Math.max(0, ...turns.map(({ round }) => round));
  const busy = turns.map((turn) => turn.busy);
  const places = `Linux ${/^\d+\.\d+/.exec(release())?.[0]}, ${navigator.hardwareConcurrency} cores`;
  return [
    ...[rowOf(HEAD), rowOf(HEAD.map(() => "---")), ...rows, ""],
    `${rounds} turns of ${swaps} swaps each; fresh connections, kept ones and POSTs at ${rate} requests a second each; ${places};`,
    `load average before a turn: ${median(busy).toFixed(1)} (median), ${Math.max(0, ...busy).toFixed(1)} at most.`,
    ...notHere(rivals).map(({ name, why }) => `Not measured: ${name}, which ${why}.`),
    ...[...new Set(failed.map(({ key, why }) => `Not judged in a turn: ${key}: ${why?.split("\n")[0]}.`))],
  ].join("\n");
}

function notHere(rivals: readonly Rival[]): { name: string; why: string }[] {
  const missing = rivals
    .filter((rival) => !isHere(rival))
    .map((rival) => ({ name: keyOf(rival), why: `needs ${missingOf(rival).join(", ")}` }));
  return [...missing, ...ELSEWHERE];
}

function cellsOf(rival: Rival, seen: readonly Seen[]): string[] {
  const sum = (of: (s: Seen) => number) => seen.reduce((total, s) => total + of(s), 0);
  const most = (of: (s: Seen) => number) => Math.max(...seen.map(of));
  const middle = (of: (s: Seen) => number | null | undefined) => {
    const known = seen.map(of).filter((n) => typeof n === "number");
    return known.length > 0 ? median(known) : undefined;
  };
  const dropped = sum((s) => totalOf(s.dropped));
  const memory = middle((s) => s.wrapperKb);
  const unfinished = sum((s) => s.swaps - s.swapped);
  const name =
    unfinished > 0 ? `${rival.name} (${unfinished} of ${sum((s) => s.swaps)} not over)` : rival.name;
  return [
    rival.server,
    `${rival.isHupwatch ? `**${name}**` : name}, ${rival.transport === "unix" ? "Unix" : "TCP"}`,
    `${count(dropped)} of ${count(sum((s) => s.started))}`,
    classes(seen),
    count(sum((s) => s.older)),
    ms(most((s) => s.mixedMs)),
    middle((s) => s.ratio)?.toFixed(1) ?? "–",
    ms(most((s) => s.gapMs)),
    memory === undefined ? "–" : `${(memory / 1024).toFixed(0)} MB`,
    ms(middle((s) => s.servesMs)),
    ms(middle((s) => s.overMs)),
  ];
}

const totalOf = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);

function classes(seen: readonly Seen[]): string {
  const all = new Map<string, number>();
  for (const { dropped } of seen)
    for (const [name, n] of Object.entries(dropped)) all.set(name, (all.get(name) ?? 0) + n);
  const parts = [...all].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${count(n)}`);
  return parts.length > 0 ? parts.join(", ") : "–";
}

const count = (n: number): string => n.toLocaleString("en");
const ms = (n: number | undefined): string =>
  n === undefined ? "–" : n < 1000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`;
