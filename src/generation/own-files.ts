/**
 * The files of one generation: its directory of metrics, and the pid file that its server writes under a name made by hupwatch.
 * Their paths are remembered from the start on: the env file, or the target of `current`, may be another one when it ends.
 */
import { basename, dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { givenEnvironment } from "../plan/environment.ts";
import { metricsDirectory } from "../plan/metrics.ts";
import { type Owner, ownerOf } from "../plan/owner.ts";
import { physical } from "../plan/release.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { makeMetricsDirectory, removeMetricsDirectory } from "./metrics-dir.ts";
import { removeStalePidfile } from "./stale-pidfile.ts";

export class OwnFiles {
  private constructor(
    private readonly generation: number,
    private readonly metrics: string | undefined,
    private readonly pidfile: string | undefined,
    private readonly user: Owner | undefined,
  ) {}

  /** Throws HupwatchError where the env file cannot be read. */
  static of(plan: RunPlan, generation: number): OwnFiles {
    return new OwnFiles(
      generation,
      metricsDirectory(givenEnvironment(plan), generation),
      pidfileOf(plan, generation),
      userOf(plan),
    );
  }

  /** For a generation that another hupwatch started: according to today's plan and environment. */
  static presumed(plan: RunPlan, generation: number): OwnFiles {
    try {
      return OwnFiles.of(plan, generation);
    } catch (error) {
      if (!(error instanceof HupwatchError)) throw error; // the env file is gone
      return new OwnFiles(generation, undefined, pidfileOf(plan, generation), userOf(plan));
    }
  }

  /** Before its start. Throws HupwatchError. */
  prepare(): void {
    if (this.metrics !== undefined) makeMetricsDirectory(this.metrics, this.user);
    this.#removePidfile();
  }

  /** Its processes have all ended. */
  remove(): void {
    if (this.metrics !== undefined) removeMetricsDirectory(this.metrics, this.user);
    this.#removePidfile();
  }

  #removePidfile(): void {
    if (this.pidfile !== undefined) removeStalePidfile(this.pidfile, this.generation);
  }
}

function pidfileOf({ generationPidfile }: RunPlan, generation: number): string | undefined {
  const path = generationPidfile?.replaceAll("{gen}", String(generation));
  return path && join(physical(dirname(path)), basename(path));
}

/** The command's user, if that is not ours. */
const userOf = ({ user, group = "" }: RunPlan): Owner | undefined =>
  user === undefined ? undefined : ownerOf(`${user}:${group}`, "--user");
