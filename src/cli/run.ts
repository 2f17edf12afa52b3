/** `hupwatch run`: wraps a command and swaps it on SIGHUP. Reads the words, wires the parts, waits, says how it ended. */
import { join, resolve } from "node:path";
import { Control } from "../control/control.ts";
import { envFileWarning } from "../events/env-file-warning.ts";
import { Hooks } from "../events/hooks.ts";
import { logTo, publishTo } from "../events/publish.ts";
import type { Of, Tell } from "../events/service-event.ts";
import { Systemd, watchdogMsOf } from "../events/systemd.ts";
import type { Snapshot } from "../generation/record.ts";
import { startGuard } from "../instance/guard.ts";
import { ownRunDirs } from "../instance/instances.ts";
import { PidFile } from "../instance/pidfile.ts";
import { claimState, type Starter } from "../instance/predecessor.ts";
import { chooseRunDir, doorOf, InstanceLock, openRunDir } from "../instance/run-dir.ts";
import { type RecordedState, StateFile, statePath } from "../instance/state-file.ts";
import { prepareTakeover, type Takeover } from "../instance/takeover.ts";
import { createLog, isJournal, type Log, logLevel } from "../log.ts";
import { uidOf } from "../os/accounts.ts";
import { becomeSubreaper, isTerminal } from "../os/libc.ts";
import { LineWriter } from "../os/line-writer.ts";
import { requireRunnable } from "../os/lookup.ts";
import { realOs } from "../os/os.ts";
import { Reaper } from "../os/reaper.ts";
import { notifierOf } from "../os/sd-notify.ts";
import { requireIdentity } from "../os/setpriv.ts";
import { generationEnvironment } from "../plan/environment.ts";
import { logFormatOf, readOptions } from "../plan/options.ts";
import { type Planned, planRun } from "../plan/plan.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { RunValues } from "../plan/run-values.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { addressOf, holdAll } from "../sockets/open.ts";
import { format } from "../sockets/sockaddr.ts";
import type { Ending } from "../swap/machine.ts";
import { Supervisor } from "../swap/supervisor.ts";
import { type Command, command } from "./command.ts";
import { orUnasked, orUnguarded, orWithoutRunDir, untold } from "./degraded.ts";
import { exitCodeOf } from "./exit-code.ts";
import { earlierKeeper, newKeeper } from "./keeping.ts";
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
  using stderr = new LineWriter(2, realOs.clock, (lines) =>
    log.warn("log.dropped", `${lines} lines of this log were dropped while nobody read it`, { lines }),
  );
  const log = logFor(values, env, stderr);
  const chosen = chooseRunDir(values["run-dir"], env, uid);
  const runDir = orWithoutRunDir(chosen, log, () => openRunDir(chosen.path, uid));
  const surroundings = { env, cwd: process.cwd(), pid, ppid, stderrIsTerminal: isTerminal(2), runDir };
  const options = readOptions(values, words, surroundings);
  // Programs of the user's are run from here on: not while another hupwatch of that name lives, and not as somebody else.
  using lock =
    runDir === undefined
      ? undefined
      : orWithoutRunDir(chosen, log, () => InstanceLock.take(runDir, options.name, pid));
  requireIdentity(words[0] ?? "", options);
  const { plan, traits, hooks: asked } = planRun(options);
  for (const note of traits.notes) log.warn("server.note", note);
  /** Where this instance, and no other, may write. */
  const ownDir = lock && runDir;
  const state = ownDir === undefined ? undefined : new StateFile(ownDir, plan.name, untold(ownDir, log));
  using control = new Control();
  const hooks = hooksOf(asked, plan, (failure) => tell(failure));
  using systemd = systemdOf(env, pid);
  const tell = publishTo([
    logTo(log),
    ...(plan.envFile === undefined ? [] : [envFileWarning(plan.envFile, plan, log)]),
    control.consume,
    hooks.consume,
    ...(systemd ? [systemd.consume] : []),
  ]);
  // Before anything is started or taken, so that a wrong command costs nothing; every generation looks again by itself.
  requireRunnable({
    ...plan,
    argv: plan.words,
    env: generationEnvironment(plan, 1, pid),
    cwd: plan.directory,
  });
  // PID 1 takes everybody with it (pid_namespaces(7)).
  const guard =
    plan.killAtExit && pid !== 1
      ? orUnguarded(log, () => startGuard(plan.name, pid, plan.environment))
      : undefined;
  using tidy = tidying(realOs.clock);
  const recorders = [
    ...(state ? [state.recorder(plan.name)] : []),
    ...(guard ? [guard.record] : []),
    tidy.record,
  ];
  const record = (snapshot: Snapshot) => {
    for (const recorder of recorders) recorder(snapshot);
  };
  const starter = { otherRunDirs: chosen.asked ? [] : ownRunDirs(env, uid), pid };
  const left = ownDir === undefined ? undefined : await leftBehind(plan, { ...starter, runDir: ownDir }, log);
  const door = ownDir && doorOf(ownDir, plan.name);
  using earlier = ownDir && left ? await earlierKeeper(doorOf(ownDir, left.name)) : undefined;
  const takeover = await prepareTakeover(left, plan, earlier?.over(realOs) ?? realOs, tell, earlier?.take);
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
  if (takeover) warnOfDropped(takeover, held, log);
  await takeover?.endOthers();
  pidfile?.publish();
  using keeper = plan.handover === "intercept" ? (earlier ?? (await newKeeper(door))) : undefined;
  const os = (keeper ?? earlier)?.over(realOs) ?? realOs;
  const supervisor = new Supervisor(plan, held, os, { tell, record }, takeover);
  becomeSubreaper();
  using reaper = new Reaper(realOs.clock);
  const nohup = env.HUPWATCH_SIGHUP === "nohup";
  using _signals = listenToSignals(supervisor.post, plan.killAtExit, nohup, reaper.look, log);
  if (ownDir !== undefined && values.control !== false)
    orUnasked(join(ownDir, `${plan.name}.sock`), log, (path) =>
      control.open(path, uid, { plan, server: traits.server, held, supervisor }),
    );
  tellBegin(plan.name, traits.server, held, tell);
  const ending = await supervisor.run();
  tell(conclusion(supervisor, ending, plan));
  await control.finish(ending);
  await hooks.finish();
  guard?.dismiss();
  if (ending.kind !== "left") state?.remove();
  return exitCodeOf(ending, plan.stopSequence);
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

function tellBegin(name: string, server: string, held: readonly HeldSocket[], tell: Tell): void {
  tell({ event: "run.plan", name, server });
  for (const { address, cutover } of held) tell({ event: "socket.held", address: format(address), cutover });
  if (held.length === 0) tell({ event: "socket.none" });
}

function conclusion(
  supervisor: Supervisor,
  ending: Ending,
  { stopSequence: [first] }: RunPlan,
): Of<"left"> | Of<"stopped"> {
  if (ending.kind !== "left")
    return { event: "stopped", failure: ending.kind === "failed" ? ending.failure : undefined };
  const serving = supervisor.snapshot().generations.find(({ number }) => number === ending.serving);
  const leader = serving && first ? { pid: serving.pid, stopSignal: first.signal } : undefined;
  return { event: "left", generation: ending.serving, leader };
}

async function leftBehind(
  { name, sockets, socketOptions, user }: RunPlan,
  starter: Pick<Starter, "runDir" | "otherRunDirs" | "pid">,
  log: Log,
): Promise<RecordedState | undefined> {
  const addresses = await Promise.all(sockets.map((spec) => addressOf(spec, socketOptions)));
  const onUnreadable = (why: string) =>
    log.warn(
      "state.unreadable",
      `cannot read ${statePath(starter.runDir, name)}: ${why}; if an earlier hupwatch '${name}' has left the service running, this start cannot take it over: end that service first`,
    );
  const left = claimState({ ...starter, name, commandUid: uidOf(user), addresses, onUnreadable });
  if (left && left.name !== name)
    log.info("instance.renamed", `the service of hupwatch '${left.name}' is '${name}' from now on`, {
      from: left.name,
    });
  return left;
}

/** Whom the command line has left out may still have clients. */
function warnOfDropped({ current }: Takeover, held: readonly HeldSocket[], log: Log): void {
  const named = new Set(held.map(({ address }) => format(address)));
  const addresses = current.listeners.map((l) => l.address).filter((address) => !named.has(address));
  if (addresses.length > 0)
    log.warn(
      "address.dropped",
      `no longer in the command line: ${addresses.join(", ")}; held until now, and let go of with generation ${current.number}`,
      { generation: current.number, addresses },
    );
}

function hooksOf(asked: Planned["hooks"], plan: RunPlan, onFailure: Tell): Hooks {
  const { directory, environment, name } = plan;
  return new Hooks({
    ...asked,
    account: plan,
    directory,
    environment: { ...environment, HUPWATCH_NAME: name },
    onFailure,
  });
}

function systemdOf(env: Record<string, string | undefined>, pid: number): Systemd | undefined {
  const notify = notifierOf(env.NOTIFY_SOCKET);
  return notify && new Systemd(notify, realOs.clock, watchdogMsOf(env, pid));
}
