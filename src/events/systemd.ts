/**
 * Tells systemd (or another supervisor that speaks sd_notify(3)) where the service is: READY=1 when it serves, RELOADING=1 and READY=1
 * around a swap, so that `systemctl reload` of a Type=notify-reload unit waits for its end, STOPPING=1, the watchdog, and
 * more time while something takes long. The generations never see this socket: they have their own.
 */
import { formatDuration } from "../duration.ts";
import { type Clock, poll } from "../os/clock.ts";
import { monotonicMicroseconds } from "../os/libc.ts";
import type { Notify } from "../os/sd-notify.ts";
import type { Consume } from "./publish.ts";

/** While something takes long: asked for again well before it runs out. hupwatch's own deadlines end it. */
const EXTEND_US = 30_000_000;
const EXTEND_EVERY_MS = 10_000;

export class Systemd implements Disposable {
  /** `starting` until the first generation serves; `reloading` while another one is to follow. */
  #phase: "starting" | "serving" | "reloading" | "stopping" = "starting";
  /** One more swap was asked for and has not begun. */
  #queued = false;
  #extending: Disposable | undefined;
  readonly #watchdog: Disposable | undefined;

  /** `watchdogMs`: how often systemd wants to hear from us at least; undefined: not at all. */
  constructor(
    private readonly notify: Notify,
    private readonly clock: Clock,
    watchdogMs?: number,
  ) {
    this.#takeTime("starting");
    if (watchdogMs === undefined) return;
    this.#watchdog = poll(clock, watchdogMs / 2, () => {
      notify("WATCHDOG=1");
      return "more";
    });
  }

  readonly consume: Consume = (event, { text }) => {
    switch (event.event) {
      case "generation.started":
        this.#started(event.generation);
        break;
      case "generation.waiting":
        if (this.#phase !== "stopping") this.#takeTime(text);
        break;
      case "swap.queued":
        // systemd waits for a RELOADING=1 that is younger than its HUP.
        this.#queued = true;
        if (this.#phase === "reloading") this.#reloading("swapping, then once more");
        break;
      case "swap.unconfirmed":
        this.#takeTime(text);
        break;
      case "generation.serves":
      case "swap.done":
        this.#serves(event.doubt ? text : `generation ${event.generation} serves`);
        break;
      case "generation.proven":
        if (this.#phase === "serving") this.notify(`STATUS=generation ${event.generation} serves`);
        break;
      case "swap.rolled-back": {
        const { generation, serving, failure } = event;
        this.#serves(`generation ${serving} serves; rolled back: generation ${generation} ${failure.reason}`);
        break;
      }
      case "generation.crashed":
        this.notify(`STATUS=generation ${event.generation} ${event.failure.reason}`);
        break;
      case "stopping":
        this.#stopping();
        break;
      case "left":
      case "stopped":
        // `systemctl status` goes on showing it. Leaving may have taken no time of its own, so that nothing told systemd before.
        this.#stopExtending();
        this.notify(...(event.event === "left" ? ["STOPPING=1"] : []), `STATUS=${text}`);
    }
  };

  #started(generation: number): void {
    if (this.#phase === "starting") this.#takeTime(`starting generation ${generation}`);
    else if (this.#phase !== "stopping") this.#reloading(`swapping to generation ${generation}`);
    this.#queued = false;
  }

  #serves(status: string): void {
    // A swap that failed before anything was started is one all the same, and a client may wait for it.
    if (this.#phase === "serving") this.#reloading(status);
    if (this.#queued && this.#phase === "reloading") return;
    this.#phase = "serving";
    this.#stopExtending();
    this.notify("READY=1", `STATUS=${status}`);
  }

  #reloading(status: string): void {
    this.#phase = "reloading";
    this.notify("RELOADING=1", `MONOTONIC_USEC=${monotonicMicroseconds()}`, `STATUS=${status}`);
    this.#takeTime(status);
  }

  #stopping(): void {
    this.#phase = "stopping";
    this.notify("STOPPING=1", "STATUS=stopping");
    this.#takeTime("stopping");
  }

  #takeTime(what: string): void {
    this.#stopExtending();
    const since = this.clock.now();
    this.#extending = poll(this.clock, EXTEND_EVERY_MS, () => {
      const tookMs = this.clock.now() - since;
      const status = tookMs < EXTEND_EVERY_MS ? what : `${what}, for ${formatDuration(tookMs)}`;
      this.notify(`EXTEND_TIMEOUT_USEC=${EXTEND_US}`, `STATUS=${status}`);
      return "more";
    });
  }

  #stopExtending(): void {
    this.#extending?.[Symbol.dispose]();
    this.#extending = undefined;
  }

  [Symbol.dispose](): void {
    this.#stopExtending();
    this.#watchdog?.[Symbol.dispose]();
  }
}

/** sd_watchdog_enabled(3): half of it is how often to answer. Undefined where the watchdog is off or another process's. */
export function watchdogMsOf(env: Record<string, string | undefined>, pid: number): number | undefined {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env;
  if (watched !== undefined && Number(watched) !== pid) return undefined;
  const ms = Number(usec) / 1000;
  return ms > 0 ? ms : undefined;
}
