/** Counts what the tests' client saw. Every request that was begun is in `ok` or in `failed`, once. */
import type { Failure } from "./failure.ts";

export interface VersionSeen {
  count: number;
  /** Unix time in ms of the first and the last answer. */
  firstMs: number;
  lastMs: number;
}

export interface FailureSeen {
  what: string;
  /** Unix time in ms. */
  atMs: number;
}

export interface LoadReport {
  sent: number;
  ok: number;
  failed: number;
  /** `"connect ENOENT"`, `"first-byte ECONNRESET (reused)"` and the like, each with its count. */
  failures: Record<string, number>;
  /** The first 20, with the time. */
  examples: FailureSeen[];
  /** By X-Version, in the order of their first answers. */
  versions: Record<string, VersionSeen>;
  /** Answers by an older version on a connection that was begun after a newer one had answered. */
  wentBack: number;
  /** The version that answered last. */
  lastVersion: string | undefined;
  /** Kept connections that the server closed while nothing was asked of it: no failure. */
  idleCloses: number;
  slowestMs: number;
  /** With `afterFirstOk`: what failed before the first good answer and is in no other number. */
  failedBeforeFirstOk: number;
}

/** Of a report: not one request was dropped, and no client saw an older version after a newer one. */
export const CLEAN = { failures: {}, examples: [], failed: 0, wentBack: 0 };

export class Tally {
  readonly report: LoadReport = {
    sent: 0,
    ok: 0,
    failed: 0,
    failures: {},
    examples: [],
    versions: {},
    wentBack: 0,
    lastVersion: undefined,
    idleCloses: 0,
    slowestMs: 0,
    failedBeforeFirstOk: 0,
  };
  /** performance.now() of each version's first answer, oldest version first. */
  #firstAnswers = new Map<string, number>();

  constructor(private counting: boolean) {}

  fail(failure: Failure): void {
    const { report } = this;
    if (!this.counting) {
      report.failedBeforeFirstOk++;
      return;
    }
    report.sent++;
    report.failed++;
    report.failures[failure.message] = (report.failures[failure.message] ?? 0) + 1;
    if (report.examples.length < 20) report.examples.push({ what: failure.message, atMs: Date.now() });
  }

  /** Both times by performance.now(); `connectedMs` is taken before connect(2). */
  succeed(version: string, connectedMs: number, requestedMs: number): void {
    const { report } = this;
    const now = performance.now();
    this.counting = true;
    report.sent++;
    report.ok++;
    report.slowestMs = Math.max(report.slowestMs, now - requestedMs);
    report.lastVersion = version;
    if (!this.#firstAnswers.has(version)) this.#firstAnswers.set(version, now);
    if (this.#newerHadAnswered(version, connectedMs)) report.wentBack++;
    const seen = report.versions[version] ?? { count: 0, firstMs: Date.now(), lastMs: 0 };
    report.versions[version] = { ...seen, count: seen.count + 1, lastMs: Date.now() };
  }

  #newerHadAnswered(version: string, connectedMs: number): boolean {
    const order = [...this.#firstAnswers];
    const own = order.findIndex(([name]) => name === version);
    return order.slice(own + 1).some(([, firstAnswerMs]) => firstAnswerMs < connectedMs);
  }
}
