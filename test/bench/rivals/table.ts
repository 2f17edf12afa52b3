/** The table of what the turns showed. */
import { release } from "node:os";
import { median } from "../../../fixtures/demo/text.ts";
import { isThere } from "../../setup/places.ts";
import { ELSEWHERE } from "./contenders.ts";
import type { Rival } from "./rival.ts";
import type { Seen } from "./seen.ts";
import type { Pace } from "./turn.ts";

export interface Kept {
  turns: { key: string; round: number; busy: number; seen?: Seen; why?: string }[];
}

export const keyOf = ({ server, name, transport }: Rival): string => `${server}: ${name}, ${transport}`;

export const missingOf = ({ needs }: Rival): string[] => needs.filter((program) => !isThere(program));
export const isHere = (rival: Rival): boolean => missingOf(rival).length === 0;

const HEAD = [
  ...["server", "reload", "dropped, new connections", "kept ones", "older after newer", "mixed"],
  ...["p99.9 in swaps / steady", "longest gap", "wrapper's memory", "HUP to serving", "to the old one's end"],
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
    ...sumOf(rivals, turns),
    `${rounds === 1 ? "A turn" : `${rounds} turns`} of ${swaps} swaps each; fresh connections, kept ones and POSTs at ${rate} requests a second each; ${places};`,
    `load average before a turn: ${median(busy).toFixed(1)} (median), ${Math.max(0, ...busy).toFixed(1)} at most.`,
    "†: the machine was so busy that the load could not keep its pace; its times are noise.",
    ...notHere(rivals, turns).map(({ name, why }) => `Not measured: ${name}, which ${why}.`),
    ...[...new Set(failed.map(({ key, why }) => `Not judged in a turn: ${key}: ${why?.split("\n")[0]}.`))],
  ].join("\n");
}

/** What the first document quotes of it: what each of the well-known lost, and today's hupwatch. */
export function quoteOf(rivals: readonly Rival[], { turns }: Kept): string {
  const seenOf = (keys: readonly string[]) =>
    turns.filter(({ key }) => keys.includes(key)).flatMap((turn) => turn.seen ?? []);
  const lossOf = (seen: readonly Seen[]) => ({
    lost: seen.reduce((sum, { dropped }) => sum + totalOf(dropped), 0),
    of: count(seen.reduce((sum, { started }) => sum + started, 0)),
  });
  const others = rivals.flatMap((rival) => {
    const seen = seenOf([keyOf(rival)]);
    return rival.quoted && seen.length > 0 ? [{ name: rival.quoted, ...lossOf(seen) }] : [];
  });
  const ours = rivals.filter(({ isHupwatch }) => isHupwatch);
  const { lost, of } = lossOf(seenOf(ours.map(keyOf)));
  const servers = new Set(ours.map(({ server }) => server.replace(/[ ,].*/, ""))).size;
  const losers = others.filter((other) => other.lost > 0);
  const none = others.filter((other) => other.lost === 0).map(({ name }) => name);
  return [
    `Requests lost on new connections: ${losers.map((o) => `${o.name} ${count(o.lost)} of ${o.of}`).join(", ")};`,
    `today's hupwatch ${count(lost)} of ${of}, with ${servers} servers. ${none.length > 0 ? `These lost none: ${none.join(", ")}.` : ""}`,
  ].join("\n");
}

/** Of all rows of today's hupwatch. */
function sumOf(rivals: readonly Rival[], turns: Kept["turns"]): string[] {
  const ours = rivals.filter(({ isHupwatch }) => isHupwatch).map(keyOf);
  const seen = turns.filter(({ key }) => ours.includes(key)).flatMap((turn) => turn.seen ?? []);
  if (seen.length === 0) return [];
  const sum = (of: (s: Seen) => number) => count(seen.reduce((total, s) => total + of(s), 0));
  const dropped = `${sum((s) => totalOf(s.dropped))} of ${sum((s) => s.started)} requests dropped on new connections`;
  const kept = `${sum((s) => totalOf(s.keptDropped))} on kept ones`;
  return [
    `All rows of hupwatch together: ${dropped}, ${kept}, in ${sum((s) => s.swapped)} swaps, ${sum((s) => s.older)} older answers after newer.`,
  ];
}

function notHere(rivals: readonly Rival[], turns: Kept["turns"]): { name: string; why: string }[] {
  const unturned = rivals
    .filter((rival) => isHere(rival) && turns.every(({ key }) => key !== keyOf(rival)))
    .map((rival) => ({ name: keyOf(rival), why: "had no turn in that time" }));
  const missing = rivals
    .filter((rival) => !isHere(rival))
    .map((rival) => ({ name: keyOf(rival), why: `needs ${missingOf(rival).join(", ")}` }));
  return [...unturned, ...missing, ...ELSEWHERE];
}

function cellsOf(rival: Rival, seen: readonly Seen[]): string[] {
  const sum = (of: (s: Seen) => number) => seen.reduce((total, s) => total + of(s), 0);
  const most = (of: (s: Seen) => number) => Math.max(...seen.map(of));
  const middle = (of: (s: Seen) => number | null | undefined) => {
    const known = seen.map(of).filter((n) => typeof n === "number");
    return known.length > 0 ? median(known) : undefined;
  };
  const memory = middle((s) => s.wrapperKb);
  const unfinished = sum((s) => s.swaps - s.swapped);
  const limited = seen.some((s) => s.limited) ? " †" : "";
  const name =
    unfinished > 0 ? `${rival.name} (${unfinished} of ${sum((s) => s.swaps)} not over)` : rival.name;
  return [
    rival.server,
    `${rival.isHupwatch ? `**${name}**` : name}, ${rival.transport === "unix" ? "Unix" : "TCP"}${limited}`,
    withClasses(
      sum((s) => s.started),
      seen.map((s) => s.dropped),
    ),
    withClasses(
      undefined,
      seen.map((s) => s.keptDropped),
    ),
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

/** `12 of 3,400: connect-refused 10, fin-before-byte 2`. */
function withClasses(started: number | undefined, counts: readonly Record<string, number>[]): string {
  const all = new Map<string, number>();
  for (const [name, n] of counts.flatMap((one) => Object.entries(one)))
    all.set(name, (all.get(name) ?? 0) + n);
  const total = [...all.values()].reduce((a, b) => a + b, 0);
  const parts = [...all].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${count(n)}`);
  const how = started === undefined ? count(total) : `${count(total)} of ${count(started)}`;
  return total === 0 ? how : `${how}: ${parts.join(", ")}`;
}

const count = (n: number): string => n.toLocaleString("en");
const ms = (n: number | undefined): string =>
  n === undefined ? "–" : n < 1000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`;
