/**
 * The second step of a run: the consumers of events (log, control socket, hooks, systemd), and the recorders of what runs (the state
 * file, the guard of -k). One that cannot be had is reported and left out.
 */
import { join } from "node:path";
import { Control } from "../control/control.ts";
import type { Subject } from "../control/status.ts";
import { envFileWarning } from "../events/env-file-warning.ts";
import { Hooks } from "../events/hooks.ts";
import { type Consume, logTo, publishTo } from "../events/publish.ts";
import type { Tell } from "../events/service-event.ts";
import { Systemd, watchdogMsOf } from "../events/systemd.ts";
import type { Snapshot } from "../generation/record.ts";
import { type Guard, startGuard } from "../instance/guard.ts";
import { StateFile } from "../instance/state-file.ts";
import { Upkeep } from "../instance/upkeep.ts";
import { realOs } from "../os/os.ts";
import { notifierOf } from "../os/sd-notify.ts";
import { loginEnvironment } from "../plan/environment.ts";
import type { Planned } from "../plan/plan.ts";
import { cutoverOf } from "../sockets/cutover.ts";
import { portRange } from "../sockets/selectors.ts";
import type { Ending } from "../swap/machine.ts";
import type { Supervisor } from "../swap/supervisor.ts";
import { orUnasked, orUnguarded, untold } from "./degraded.ts";
import { idleGc } from "./idle-gc.ts";
import type { Prepared } from "./prepared.ts";

/** The same for every hook: these ports lead to the newest generation, whichever that is. */
function probePortsOf({
  socketOptions: { probePorts: from },
  sockets,
  cutover,
}: Planned["plan"]): Record<string, string> {
  const isSteered = sockets.some(
    ({ address }) => address.kind === "tcp" && cutoverOf(address, cutover).mode === "steer",
  );
  return from !== undefined && isSteered ? { HUPWATCH_PROBE_PORTS: portRange(from) } : {};
}

export class Audience implements Disposable {
  readonly tell: Tell;
  readonly #owned = new DisposableStack();
  readonly #control = this.#owned.use(new Control());
  readonly #hooks: Hooks;
  readonly #guard: Guard | undefined;
  readonly #state: { file: StateFile; record(snapshot: Snapshot): void } | undefined;
  #upkeep: Upkeep | undefined;
  readonly #consumers: Consume[];
  readonly #recorders: ((snapshot: Snapshot) => void)[];

  constructor(private readonly prepared: Prepared) {
    const { log, plan, hooks, ownDir } = prepared;
    const { env, pid } = process;
    this.#hooks = new Hooks({
      ...hooks,
      account: plan,
      directory: plan.directory,
      environment: {
        ...loginEnvironment(plan.environment, plan.user),
        HUPWATCH_NAME: plan.name,
        ...probePortsOf(plan),
      },
      onFailure: (failure) => this.tell(failure),
    });
    const notify = notifierOf(env.NOTIFY_SOCKET);
    const systemd = notify && new Systemd(notify, realOs.clock, watchdogMsOf(env, pid));
    this.#owned.use(systemd);
    this.#consumers = [
      logTo(log),
      ...(plan.envFile === undefined ? [] : [envFileWarning(plan.envFile, plan, log)]),
      this.#control.consume,
      this.#hooks.consume,
      ...(systemd ? [systemd.consume] : []),
    ];
    this.tell = publishTo(this.#consumers);
    const file = ownDir === undefined ? undefined : new StateFile(ownDir, plan.name, untold(ownDir, log));
    this.#state = file && { file, record: file.recorder(plan.name) };
    // When PID 1 ends, the kernel kills every process of its namespace (pid_namespaces(7)).
    const isGuarded = plan.killAtExit && pid !== 1;
    const start = () => startGuard(plan.name, pid, plan.environment);
    this.#guard = isGuarded ? orUnguarded(log, start) : undefined;
    this.#recorders = [
      ...(this.#state ? [this.#state.record] : []),
      ...(this.#guard ? [this.#guard.record] : []),
      this.#owned.use(idleGc(realOs.clock)).record,
    ];
  }

  /** From now on it gets the events, too. */
  join(consume: Consume): void {
    this.#consumers.push(consume);
  }

  readonly record = (snapshot: Snapshot): void => {
    for (const record of this.#recorders) record(snapshot);
    this.#upkeep?.look();
  };

  /** From now on requests are answered, if a control socket is wanted and possible. */
  openControl(subject: Subject): void {
    const { ownDir, control, plan, log } = this.prepared;
    if (ownDir === undefined || !control) return;
    const uid = process.getuid?.() ?? 0;
    orUnasked(join(ownDir, `${plan.name}.sock`), log, (path) => this.#control.open(path, uid, subject));
  }

  /** From now on the files of the run directory are made anew if something removes them. */
  keepUp(supervisor: Supervisor): void {
    const { ownDir, lock, log, plan } = this.prepared;
    if (ownDir === undefined || !lock) return;
    const restore = () => {
      const wasMissing = [lock.renew(process.pid), this.#control.renew()].includes(true);
      this.#state?.record(supervisor.snapshot());
      if (wasMissing) log.warn("run-dir.restored", `something emptied ${ownDir}: made anew`);
    };
    this.#upkeep = this.#owned.use(new Upkeep(ownDir, plan.name, realOs.clock, restore));
  }

  /** Sends the last answers and runs the last hooks. Then there is nothing to guard and, unless the service goes on, nothing to record. */
  async finish(ending: Ending): Promise<void> {
    this.#upkeep?.[Symbol.dispose]();
    await this.#control.finish(ending);
    await this.#hooks.finish();
    this.#guard?.dismiss();
    if (ending.kind !== "left") this.#state?.file.remove();
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
