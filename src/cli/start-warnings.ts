/** The errors with which a start would fail, found by the start's own code, which runs and takes nothing here. */

import { ANSWER, EXIT, HupwatchError } from "../error.ts";
import { findInstances, ownRunDirs } from "../instance/instances.ts";
import { findLeft } from "../instance/predecessor.ts";
import { alreadyRunning, type RunDir, requireOwn, runDirNote } from "../instance/run-dir.ts";
import { uidOf } from "../os/accounts.ts";
import { requireRunnable } from "../os/lookup.ts";
import { realOs } from "../os/os.ts";
import { requireIdentity } from "../os/setpriv.ts";
import { generationEnvironment } from "../plan/environment.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { addressOf, requireFree } from "../sockets/open.ts";

export interface Starter {
  runDir: RunDir;
  env: Readonly<Record<string, string | undefined>>;
  uid: number;
}

export interface StartWarnings {
  /** In the order in which a start would come to them. */
  warnings: string[];
  /** That of a start where the command cannot be run, else 0: what else stands in its way may be gone by then. */
  exitCode: number;
}

export async function startWarnings(plan: RunPlan, starter: Starter): Promise<StartWarnings> {
  const running = runningAs(plan.name, starter);
  const sockets = running === undefined ? await socketsToBind(plan, starter) : [];
  const steps: (() => unknown)[] = [
    // For one that was not requested a start only warns.
    () => starter.runDir.isRequested && requireOwn(starter.runDir.path, starter.uid),
    () => {
      if (running !== undefined) throw alreadyRunning(plan.name, running);
    },
    () => requireIdentity(plan.words[0] ?? "", plan),
    () =>
      requireRunnable({
        ...plan,
        argv: plan.words,
        env: generationEnvironment(plan, 1, 0),
        cwd: plan.directory,
      }),
    ...sockets.map((spec) => () => requireFree(spec, plan.sockets, plan.socketOptions)),
  ];
  const warnings = [runDirNote(starter.runDir) ?? []].flat();
  let exitCode: number = ANSWER.yes;
  for (const step of steps)
    try {
      await step();
    } catch (error) {
      if (!(error instanceof HupwatchError)) throw error;
      warnings.push(`${error.message}${error.hint ? `. To fix: ${error.hint}` : ""}`);
      if (UNRUNNABLE.includes(error.exitCode)) exitCode = error.exitCode;
    }
  return { warnings, exitCode };
}

const UNRUNNABLE: readonly number[] = [EXIT.notExecutable, EXIT.notFound];

const runningAs = (name: string, { runDir, uid }: Starter): number | undefined =>
  findInstances([runDir.path], uid).find((one) => one.name === name)?.pid;

/** All but those that the start would take over. */
async function socketsToBind({ name, sockets, socketOptions, user }: RunPlan, { runDir, env, uid }: Starter) {
  const addresses = await Promise.all(sockets.map((spec) => addressOf(spec, socketOptions).catch(() => "")));
  const otherRunDirs = runDir.isRequested ? [] : ownRunDirs(env, uid);
  const left = findLeft({
    ...{ runDir: runDir.path, name, otherRunDirs, os: realOs },
    ...{ commandUid: uidOf(user), addresses: addresses.filter(Boolean) },
  });
  const taken = left?.generations.flatMap((g) => g.listeners.map((l) => l.address)) ?? [];
  return sockets.filter((_, i) => !taken.includes(addresses[i] ?? ""));
}
