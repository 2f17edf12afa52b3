/**
 * The first step of a run: the words are read, the instance's name is ours, the plan is made and could be carried out. What is
 * wrong with a command line is found here, before anything is started or taken.
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

/** Disposing of it gives the name back. */
export interface Prepared extends Planned, Disposable {
  log: Log;
  /** Where this instance, and no other, may write; undefined where it runs without a run directory. */
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
  // Programs of the user's are run from here on: not while another hupwatch of that name lives, and not as another user.
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
  // So that a wrong command costs nothing; every generation looks again by itself.
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

/** The server's settings are those of the command's user: what they name is written where that one may write. */
function pidfileOf(
  requested: string | undefined,
  servers: string | undefined,
  { socketOptions }: RunPlan,
): PidFilePlace | undefined {
  if (requested !== undefined) return { path: resolve(requested) };
  return servers === undefined ? undefined : { path: servers, chosenBy: socketOptions.users?.[0] };
}
