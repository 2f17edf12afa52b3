/**
 * Exactly once, from the app's side: it appends the id of every POST that it executes, one a line, to the file that
 * $VERIFY_LEDGER names. Joined with what the clients saw, that tells a lost request from one that was executed and lost
 * only its answer, and finds the one that was executed twice, which no client can see.
 */
import { MANNERS } from "../load/manners.ts";
import type { FailureRecord } from "../load/outcome.ts";
import { kindAt } from "../load/requests.ts";
import type { LoadResult } from "../load/result.ts";

export interface LedgerFindings {
  /** POSTs sent. */
  posts: number;
  executedOnce: number;
  /** Executed more than once. */
  duplicates: string[];
  /** Answered as good, and not executed: the answer was not the app's. */
  neverExecuted: string[];
  /** Failed for the client, and executed: to send it again would do it twice. */
  executedButFailed: string[];
  /** Failed for the client, and not executed: safe to send again. */
  failedUnexecuted: string[];
  /** Ids that none of our requests carried: the file is another run's, too. */
  strangers: number;
}

/** Undefined where the app wrote none. */
export function joinLedger(text: string, results: readonly LoadResult[]): LedgerFindings | undefined {
  const executed = new Map<string, number>();
  for (const id of text.split("\n")) if (id !== "") executed.set(id, (executed.get(id) ?? 0) + 1);
  if (executed.size === 0) return undefined;
  const found: LedgerFindings = {
    ...{ posts: 0, executedOnce: 0, strangers: 0 },
    ...{ duplicates: [], neverExecuted: [], executedButFailed: [], failedUnexecuted: [] },
  };
  for (const result of results) joinOne(result, executed, found);
  found.strangers = executed.size;
  return found;
}

/** Takes out of `executed` what belongs to this run. */
function joinOne(result: LoadResult, executed: Map<string, number>, found: LedgerFindings): void {
  const failed = new Map<string, FailureRecord>(result.failureRecords.map((f) => [f.id, f]));
  for (let n = 0; n < result.ids.count; n++) {
    const kind = kindAt(result.mode, n);
    if (!MANNERS[kind].posts) continue;
    const id = result.ids.prefix + String(n).padStart(10, "0");
    const times = executed.get(id) ?? 0;
    executed.delete(id);
    found.posts++;
    if (times === 1) found.executedOnce++;
    if (times > 1) found.duplicates.push(id);
    if (failed.has(id)) (times > 0 ? found.executedButFailed : found.failedUnexecuted).push(id);
    // Beyond the cap on records a failure cannot be told from a success.
    else if (times === 0 && result.failureRecordsDropped === 0) found.neverExecuted.push(id);
  }
}
