/** Which failures are whose: the heart of the judgement. Pure. */
import { FAILURE_CLASSES, type FailureClass, type FailureRecord, isKeepAliveRace } from "../load/outcome.ts";
import type { FailureCount } from "../load/tally.ts";
import type { Stage } from "./evidence.ts";
import type { TrafficMode, TrafficRun } from "./traffic.ts";

/**
 * `drop`: a user lost a request. `race`: the keep-alive race, which every HTTP client is to meet by sending again.
 * `integrity`: answered, and wrongly. `held`: in the hands of the process that we killed while it served; no supervisor
 * can give it back. `stream`: one that stays for as long as it may was ended; its client connects again. `generator`: our
 * own limit.
 */
export type LossKind = "drop" | "race" | "integrity" | "held" | "stream" | "generator";

export interface Loss extends FailureCount {
  stage: Stage["name"];
  mode: TrafficMode;
  loss: LossKind;
}

const STREAM: ReadonlySet<FailureClass> = new Set(["stream-cut", "stream-closed"]);
const INTEGRITY: ReadonlySet<FailureClass> = new Set(["wrong-body", "malformed", "surplus-bytes"]);
/** How a connection ends whose process was killed. */
const ENDED_BY_DEATH: ReadonlySet<FailureClass> = new Set([
  "reset-before-byte",
  "fin-before-byte",
  "cut-head",
  "cut-body",
]);
/** Between a death and the flip back: the events' stamps are whole milliseconds, and clients hear of it later. */
const SLACK_MS = 100;

export function lossesOf(stages: readonly Stage[]): Loss[] {
  return stages.flatMap((stage) => stage.runs.flatMap((run) => lossesOfRun(stage, run)));
}

function lossesOfRun(stage: Stage, run: TrafficRun): Loss[] {
  const base = { stage: stage.name, mode: run.mode };
  const losses: Loss[] = [];
  for (const failure of run.result.failures) {
    const held = Math.min(failure.count, heldByTheKilled(stage, run, failure));
    if (held > 0) losses.push({ ...failure, ...base, count: held, loss: "held" });
    if (failure.count > held)
      losses.push({ ...failure, ...base, count: failure.count - held, loss: kindOf(failure) });
  }
  return losses;
}

/** Whether this one, as it happens, is a request that a user lost by the subject's fault: no process was killed on purpose. */
export function isDrop(record: FailureRecord, stage: Stage["name"], allowsRaces: boolean): boolean {
  if (stage !== "swaps" && ENDED_BY_DEATH.has(record.class)) return false;
  const kind = kindOf(record);
  return kind === "drop" || kind === "integrity" || (kind === "race" && !allowsRaces);
}

function kindOf(failure: Pick<FailureRecord, "class" | "reused" | "kind">): LossKind {
  if (FAILURE_CLASSES[failure.class].blame === "generator") return "generator";
  if (INTEGRITY.has(failure.class)) return "integrity";
  if (STREAM.has(failure.class)) return "stream";
  return isKeepAliveRace(failure) ? "race" : "drop";
}

/** Of these failures, how many ended with the process that died in its warm-up, between its flip and the flip back. */
function heldByTheKilled(stage: Stage, { result, offsetMs }: TrafficRun, failure: FailureCount): number {
  const killed = stage.swaps.filter(({ kind }) => kind === "warm-up");
  if (!ENDED_BY_DEATH.has(failure.class)) return 0;
  return result.failureRecords.filter((record) => {
    const alike =
      record.class === failure.class && record.kind === failure.kind && record.reused === failure.reused;
    return (
      alike &&
      killed.some(
        ({ readyMs, decidedMs }) =>
          readyMs !== undefined &&
          decidedMs !== undefined &&
          record.startedMs + offsetMs >= readyMs - SLACK_MS &&
          record.endedMs + offsetMs <= decidedMs + SLACK_MS,
      )
    );
  }).length;
}

export const countOf = (losses: readonly Loss[], ...kinds: LossKind[]): number =>
  losses.filter((l) => kinds.includes(l.loss)).reduce((sum, l) => sum + l.count, 0);

/** `3 x connect-missing (ENOENT, fresh)`, largest first. */
export function describeLosses(losses: readonly Loss[], ...kinds: LossKind[]): string[] {
  const lines = new Map<string, number>();
  for (const l of losses) {
    if (!kinds.includes(l.loss)) continue;
    const code = l.closeCode === undefined ? undefined : `code ${l.closeCode}`;
    const where = [l.errno ?? code, l.reused ? "reused connection" : "new connection", l.mode, ...at(l)];
    const line = `${l.class} (${where.filter((w) => w !== undefined).join(", ")}): ${FAILURE_CLASSES[l.class].meaning}`;
    lines.set(line, (lines.get(line) ?? 0) + l.count);
  }
  return [...lines].sort((a, b) => b[1] - a[1]).map(([line, count]) => `${count} x ${line}`);
}

const at = (l: Loss): string[] => (l.stage === "swaps" ? [] : [`chaos: ${l.stage}`]);
