/**
 * The first step of a run: the command line is read, the instance's lock is taken, the plan is made and checked. Errors in the
 * command line are found here, before anything is started or taken over.
 */
import { resolve } from "node:path";
import { OwnFiles } from "../generation/own-files.ts";
import { ownRunDirs } from "../instance/instances.ts";
import type { PidFilePlace } from "../instance/pidfile.ts";
import { chooseRunDir, InstanceLock, openRunDir, runDirNote } from "../instance/run-dir.ts";
import { createLog, isJournal, type Log, logLevel } from "../log.ts";
import { callerEnvironment } from "../os/caller.ts";
import { isTerminal } from "../os/libc.ts";
import { LineWriter } from "../os/line-writer.ts";
import { requireRunnable } from "../os/lookup.ts";
import { realOs } from "../os/os.ts";
import { requireIdentity } from "../os/setpriv.ts";
import { generationEnvironment } from "../plan/environment.ts";
import { logFormatOf, readOptions, type Surroundings } from "../plan/options.ts";
import { ASKING, type Planned, planRun } from "../plan/plan.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { RunValues } from "../plan/run-values.ts";
import { orWithoutRunDir } from "./degraded.ts";

/** Disposing of it releases the instance's name. */
export interface Prepared extends Planned, Disposable {
  log: Log;
  /** The run directory in which this instance may write; undefined if it runs without one. */
  ownDir: string | undefined;
  /** Its lock there. */
  lock: InstanceLock | undefined;
  /** Where else this user's hupwatches may have left something. */
  otherRunDirs: readonly string[];
  pidfile: PidFilePlace | undefined;
  /** Whether a control socket is wanted. */
  control: boolean;
}

/** Throws HupwatchError. */
export function prepare(
  values: RunValues,
  words: readonly string[],
  whyNotIntercepted: Surroundings["whyNotIntercepted"],
): Prepared {
  const { pid, ppid } = process;
  const env = callerEnvironment();
  const uid = process.getuid?.() ?? 0;
  using owned = new DisposableStack();
  const stderr = owned.use(
    new LineWriter(2, realOs.clock, (lines) =>
      log.warn("log.dropped", `${lines} lines of this log were dropped while its reader did not read`, {
        lines,
      }),
    ),
  );
  const log = logFor(values, env, stderr);
  const chosen = chooseRunDir(values["run-dir"], env, uid);
  const note = runDirNote(chosen);
  const runDir = orWithoutRunDir(chosen, log, () => openRunDir(chosen, uid));
  if (note !== undefined) log.warn("run-dir.made", note);
  const cwd = process.cwd();
  const around = { env, cwd, pid, ppid, stderrIsTerminal: isTerminal(2), runDir, whyNotIntercepted };
  const options = readOptions(values, words, around);
  // From here on programs of the command's user are run: not while another hupwatch of that name lives, and not as another user.
  const lock =
    runDir === undefined
      ? undefined
      : orWithoutRunDir(chosen, log, () => InstanceLock.take(runDir, options.name, pid));
  owned.use(lock);
  requireIdentity(words[0] ?? "", options);
  const planned = planRun(options);
  const { plan, traits } = planned;
  if (traits.ran !== undefined) OwnFiles.presumed(plan, ASKING).remove();
  for (const note of traits.notes) log.warn("server.note", note);
  // A wrong command is found before anything is started. Every generation looks again by itself.
  const environment = generationEnvironment(plan, 1, pid);
  requireRunnable({ ...plan, argv: plan.words, env: environment, cwd: plan.directory });
  const kept = owned.move();
  return {
    ...planned,
    log,
    ownDir: lock && runDir,
    lock,
    otherRunDirs: chosen.isRequested ? [] : ownRunDirs(env, uid),
    pidfile: pidfileOf(values.pidfile, traits.pidfile?.path, plan),
    control: values.control !== false,
    [Symbol.dispose]: () => kept.dispose(),
  };
}

function logFor(values: RunValues, env: Record<string, string | undefined>, { write }: LineWriter): Log {
  return createLog({
    level: logLevel(values.verbose?.length ?? 0, values.quiet ?? false),
    format: logFormatOf(values),
    color: isTerminal(2) && !env.NO_COLOR,
    journal: isJournal(env.JOURNAL_STREAM, 2),
    write,
  });
}

/** The server's settings belong to the command's user: a path in them is written only where that user may write. */
function pidfileOf(
  requested: string | undefined,
  servers: string | undefined,
  { socketOptions }: RunPlan,
): PidFilePlace | undefined {
  if (requested !== undefined) return { path: resolve(requested) };
  return servers === undefined ? undefined : { path: servers, chosenBy: socketOptions.users?.[0] };
}
