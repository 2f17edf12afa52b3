/** `hupwatch run`: wraps a command and swaps it on SIGHUP. Reads the words, wires the parts, waits, says how it ended. */
import { join, resolve } from "node:path";
import { Control } from "../control/control.ts";
import { fanOut } from "../control/fan-out.ts";
import { Hooks, parseHook } from "../control/hooks.ts";
import { ownRunDirs } from "../control/instances.ts";
import { claimState, type Starter } from "../control/predecessor.ts";
import { recording } from "../control/recording.ts";
import { chooseRunDir, InstanceLock, openRunDir, type RunDir } from "../control/run-dir.ts";
import { Systemd, watchdogMsOf } from "../control/systemd.ts";
import { type Left, type Tell, telling } from "../control/telling.ts";
import { parseDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";
import { createLog, isJournal, type Log, logLevel } from "../log.ts";
import { becomeSubreaper, isTerminal, SystemError } from "../os/libc.ts";
import { realOs } from "../os/os.ts";
import { Reaper } from "../os/reaper.ts";
import { notifierOf } from "../os/sd-notify.ts";
import { requireIdentity } from "../os/setpriv.ts";
import { requireRunnable } from "../os/spawn.ts";
import { addressOf, holdAll } from "../sockets/open.ts";
import { MAX_UNIX_PATH_BYTES } from "../sockets/sockaddr.ts";
import { generationEnvironment } from "../swap/environment.ts";
import { startGuard } from "../swap/guard.ts";
import type { Ending } from "../swap/machine.ts";
import type { RunPlan } from "../swap/plan.ts";
import { type RecordedState, StateFile, statePath } from "../swap/state-file.ts";
import { Supervisor } from "../swap/supervisor.ts";
import { prepareTakeover } from "../swap/takeover.ts";
import { type Command, command } from "./command.ts";
import { remarking } from "./env-file-remarks.ts";
import { exitCodeOf } from "./exit-code.ts";
import { narrating } from "./narrator.ts";
import { PidFile } from "./pidfile.ts";
import { oneOf, planRun, type RunValues } from "./plan.ts";
import { RUN_OPTIONS } from "./run-options.ts";
import { listenToSignals } from "./signals.ts";
import { tidying } from "./tidying.ts";

const run: Command<typeof RUN_OPTIONS> = command({
  name: "run",
  summary: "Wrap a command; on SIGHUP replace it by a fresh copy of itself and drop not one request.",
  usage: "[options] [--] command [args...]",
  options: RUN_OPTIONS,
  examples: [
    {
      command: "hupwatch -- gunicorn app:app --bind unix:/tmp/app.sock",
      meaning: "then 'kill -HUP <pid>' after each deploy",
    },
    {
      command: "hupwatch -b :8080 -- ./server --listen-fd {fd}",
      meaning: "a server that takes its listener as a descriptor",
    },
  ],
  epilogue: [
    "SIGNALS",
    "",
    "  HUP              swap",
    "  TERM, INT        leave, the service goes on; with -k stop it gracefully first; a second one hurries",
    "  QUIT             stop the command at once, then exit",
    "  USR1 USR2 WINCH TTIN TTOU   passed on to the serving generation",
    "",
    "EXIT CODES",
    "",
    "  the command's own; 128+n if signal n killed it; 125 hupwatch failed, 126 not executable, 127 not found",
  ].join("\n"),
  usageExitCode: 125,
  wraps: true,
  run: ({ values, positionals }) => wrap(values, positionals),
});

export default run;

async function wrap(values: RunValues, words: readonly string[]): Promise<number> {
  const { env, pid, ppid } = process;
  const uid = process.getuid?.() ?? 0;
  const stderrIsTerminal = isTerminal(2);
  const log = createLog({
    level: logLevel(values.verbose?.length ?? 0, values.quiet ?? false),
    format: oneOf("--log-format", values["log-format"] ?? "text", ["text", "json"]),
    color: stderrIsTerminal && !env.NO_COLOR,
    journal: isJournal(env.JOURNAL_STREAM, 2),
  });
  const chosen = chooseRunDir(values["run-dir"], env, uid);
  const runDir = usable(chosen, log, () => openRunDir(chosen.path, uid));
  const { plan, traits } = planRun(values, words, {
    env,
    cwd: process.cwd(),
    pid,
    ppid,
    stderrIsTerminal,
    runDir,
  });
  for (const note of traits.notes) log.warn("server.note", note);
  using lock =
    runDir === undefined ? undefined : usable(chosen, log, () => InstanceLock.take(runDir, plan.name, pid));
  const told = (why: string) =>
    log.warn(
      "state.unwritable",
      `cannot write to ${runDir}: ${why}; until that is mended a restart may not find the service`,
    );
  const state = runDir === undefined || !lock ? undefined : new StateFile(runDir, plan.name, told);
  using control = new Control();
  const hooks = hooksOf(values, plan, (failure) => teller.tell(failure));
  using systemd = systemdOf(env, pid);
  const teller = telling([narrating(log), control.tell, hooks.tell, ...(systemd ? [systemd.tell] : [])]);
  // Before anything is started or taken, so that a wrong command costs nothing; every generation looks again by itself.
  requireRunnable({ argv: plan.words, env: generationEnvironment(plan, 1, pid), cwd: plan.directory });
  requireIdentity(plan.words[0] ?? "", { user: plan.user, group: plan.group });
  // PID 1 takes everybody with it (pid_namespaces(7)).
  const guard =
    plan.killAtExit && pid !== 1
      ? orWeak(log, () => startGuard(plan.name, pid, plan.environment))
      : undefined;
  const recorders = state ? [recording(state, plan.name)] : [];
  using tidy = tidying(realOs.clock);
  const listener = fanOut([
    ...[...recorders, guard ?? {}, teller, ...control.listeners, systemd ?? {}, tidy],
    ...(plan.envFile === undefined ? [] : [remarking(plan.envFile, log)]),
  ]);
  const left =
    runDir === undefined || !lock
      ? undefined
      : await leftBehind(plan, { runDir, otherRunDirs: chosen.asked ? [] : ownRunDirs(env, uid), pid }, log);
  const takeover = await prepareTakeover(left, plan, realOs, listener);
  // Before the sockets: what fails from here on would have to let go of them.
  const pidPath = values.pidfile === undefined ? traits.pidfile : resolve(values.pidfile);
  using pidfile = pidPath === undefined ? undefined : new PidFile(pidPath, pid);
  const held = await holdAll({
    specs: plan.sockets,
    options: plan.socketOptions,
    cutover: plan.cutover,
    boundBy: plan.handover === "path" ? "server" : "hupwatch",
    ...(takeover ? { inherited: takeover.inherited } : {}),
    onRestored: (path) => log.warn("socket.restored", `something unlinked ${path}: put back`, { path }),
  });
  await takeover?.endOthers();
  pidfile?.publish();
  const supervisor = new Supervisor(plan, held, realOs, listener, takeover);
  becomeSubreaper();
  using reaper = new Reaper(realOs.clock);
  const nohup = env.HUPWATCH_SIGHUP === "nohup";
  using _signals = listenToSignals(supervisor.post, plan.killAtExit, nohup, reaper.look, log);
  if (runDir !== undefined && lock && values.control !== false)
    orUnavailable(join(runDir, `${plan.name}.sock`), log, (path) =>
      control.open(path, uid, { plan, server: traits.server, held, supervisor }),
    );
  teller.begin(plan.name, traits.server, held);
  const ending = await supervisor.run();
  teller.end(ending, leftBy(supervisor, ending, plan));
  await control.finish(ending);
  await hooks.finish();
  guard?.dismiss();
  if (ending.kind !== "left") state?.remove();
  return exitCodeOf(ending, plan.stopSequence);
}

/** Whom a person would have to stop, once hupwatch is gone. */
function leftBy(supervisor: Supervisor, ending: Ending, plan: RunPlan): Left | undefined {
  const serving =
    ending.kind === "left" &&
    supervisor.snapshot().generations.find((generation) => generation.number === ending.serving);
  const [first] = plan.stopSequence;
  return serving && first ? { pid: serving.pid, stopSignal: first.signal } : undefined;
}

async function leftBehind(
  { name, sockets }: RunPlan,
  starter: Pick<Starter, "runDir" | "otherRunDirs" | "pid">,
  log: Log,
): Promise<RecordedState | undefined> {
  const addresses = await Promise.all(sockets.map(addressOf));
  const onUnreadable = (why: string) =>
    log.warn(
      "state.unreadable",
      `cannot read ${statePath(starter.runDir, name)}: ${why}; if an earlier hupwatch '${name}' has left the service running, this start cannot take it over: end that service first`,
    );
  const left = claimState({ ...starter, name, addresses, onUnreadable });
  if (left && left.name !== name)
    log.info("instance.renamed", `the service of hupwatch '${left.name}' is '${name}' from now on`, {
      from: left.name,
    });
  return left;
}

/** Without a run dir the service still runs; only what needs one is lost, and that is said. */
function usable<T>(runDir: RunDir, log: Log, use: () => T): T | undefined {
  try {
    return use();
  } catch (error) {
    const fatal = runDir.asked || !(error instanceof HupwatchError) || error.code === "instance.running";
    if (fatal) throw error;
    log.warn("run-dir.unusable", `${error.message}; a later start cannot take over from this one`);
    return undefined;
  }
}

function hooksOf(values: RunValues, plan: RunPlan, onFailure: Tell): Hooks {
  const timeoutMs = parseDuration(values["hook-timeout"] ?? "30s", "--hook-timeout");
  const { directory, environment, name } = plan;
  return new Hooks({
    hooks: (values.hook ?? []).map(parseHook),
    timeoutMs,
    directory,
    environment: { ...environment, HUPWATCH_NAME: name },
    onFailure,
  });
}

function systemdOf(env: Record<string, string | undefined>, pid: number): Systemd | undefined {
  const notify = notifierOf(env.NOTIFY_SOCKET);
  return notify && new Systemd(notify, realOs.clock, watchdogMsOf(env, pid));
}

/** Then only the kernel keeps the promise of -k, for the command's first process. */
function orWeak<T>(log: Log, start: () => T): T | undefined {
  try {
    return start();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.warn(
      "kill-at-exit.weak",
      `a hupwatch that is killed (kill -9) may leave processes of the command: ${why}`,
    );
    return undefined;
  }
}

/** Nobody can ask then, and the service runs all the same. */
function orUnavailable(path: string, log: Log, open: (path: string) => void): void {
  try {
    open(path);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const tooLong = Buffer.byteLength(path) > MAX_UNIX_PATH_BYTES;
    const why = tooLong
      ? `the path has more than ${MAX_UNIX_PATH_BYTES} bytes: choose a shorter --run-dir`
      : error.message;
    log.warn("control.unavailable", `no control socket ${path}: ${why}`);
  }
}
