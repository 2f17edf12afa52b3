/**
 * What a start takes over from an earlier hupwatch, in the only order possible: claim what it left, make the held sockets from the
 * survivors' listeners (which steers all clients to the current one), end the other survivors. Then the swap begins in a known state.
 */
import type { Tell } from "../events/service-event.ts";
import type { Log } from "../log.ts";
import { uidOf } from "../os/accounts.ts";
import type { Os } from "../os/os.ts";
import { learns, type RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { addressOf, holdAll } from "../sockets/open.ts";
import { format } from "../sockets/sockaddr.ts";
import { parseSpecs, type SocketSpec } from "../sockets/spec.ts";
import { claimState } from "./predecessor.ts";
import { doorOf } from "./run-dir.ts";
import { statePath } from "./state-file.ts";
import { type Kept, type Left, prepareTakeover, type Takeover } from "./takeover.ts";
import { findUnnoted } from "./unnoted.ts";

/** Where addresses are learned, those that a survivor listens at are the ones that are known. */
const learnedSpecs = (takeover: Takeover | undefined): SocketSpec[] =>
  parseSpecs(takeover?.current.listeners.map(({ address }) => address) ?? [], "/");

export interface Start {
  plan: RunPlan;
  /** Where this instance, and no other, may write; undefined: then there is nothing to take over from. */
  ownDir: string | undefined;
  /** Where else this user's hupwatches may have left something. */
  otherRunDirs: readonly string[];
  log: Log;
}

/** What an earlier hupwatch has left at its door, with the listeners of an intercepted command. */
export interface Keeper extends Disposable {
  take: Kept;
  /** The system with the processes that it knows of. */
  over(os: Os): Os;
}

export class Adoption<K extends Keeper> implements Disposable {
  private constructor(
    private readonly start: Start,
    private readonly takeover: Takeover | undefined,
    /** It goes on for the next hupwatch. */
    readonly keeper: K | undefined,
  ) {}

  /** `keeperAt` finds the keeper at a door. Throws HupwatchError where a hupwatch of the same name lives. */
  static async claim<K extends Keeper>(
    start: Start,
    os: Os,
    tell: Tell,
    keeperAt: (door: string) => Promise<K | undefined>,
  ): Promise<Adoption<K>> {
    const { ownDir, plan } = start;
    const left = await leftBehind(start, ownDir, os);
    const keeper = ownDir && left ? await keeperAt(doorOf(ownDir, left.state.name)) : undefined;
    const takeover = left && (await prepareTakeover(left, plan, keeper?.over(os) ?? os, tell, keeper?.take));
    return new Adoption(start, takeover, keeper);
  }

  [Symbol.dispose](): void {
    this.keeper?.[Symbol.dispose]();
  }

  /** For the supervisor: the generation to swap from, and the highest number so far. */
  get survivors(): Pick<Takeover, "current" | "last"> | undefined {
    return this.takeover;
  }

  /** Throws HupwatchError and SystemError; then nothing is held. */
  async hold(): Promise<Held> {
    const { plan, log } = this.start;
    const sockets = await holdAll({
      specs: learns(plan) ? learnedSpecs(this.takeover) : plan.sockets,
      isLearned: learns(plan),
      options: plan.socketOptions,
      cutover: plan.cutover,
      boundBy: plan.handover === "path" ? "server" : "hupwatch",
      ...(this.takeover ? { adopt: this.takeover.adopt } : {}),
    });
    using held = new Held(sockets, this.takeover !== undefined);
    if (this.takeover) warnOfDropped(this.takeover, sockets, log);
    await this.takeover?.endOthers();
    return held.pass();
  }
}

/** The held sockets, until the supervisor has them: if the start fails before that, they are released. */
export class Held implements Disposable {
  #isPassedOn = false;

  constructor(
    private readonly sockets: HeldSocket[],
    /** Generations live behind them, which go on serving. */
    private readonly isInUse: boolean,
  ) {}

  /** To another owner. */
  pass(): Held {
    this.#isPassedOn = true;
    return new Held(this.sockets, this.isInUse);
  }

  /** To the supervisor, which lets go of them at its end. */
  give(): HeldSocket[] {
    this.#isPassedOn = true;
    return this.sockets;
  }

  [Symbol.dispose](): void {
    if (this.#isPassedOn) return;
    for (const socket of this.sockets) {
      if (this.isInUse) socket.leave();
      else socket[Symbol.dispose]();
    }
  }
}

async function leftBehind(
  { plan: { name, sockets, socketOptions, user }, otherRunDirs, log }: Start,
  runDir: string | undefined,
  os: Os,
): Promise<Left | undefined> {
  const addresses = await Promise.all(sockets.map((spec) => addressOf(spec, socketOptions)));
  const onUnreadable = (why: string) =>
    log.warn(
      "state.unreadable",
      `cannot read ${statePath(runDir ?? "", name)}: ${why}; a service that hupwatch '${name}' has left running is sought at its addresses`,
    );
  const looker = { name, otherRunDirs, os, commandUid: uidOf(user), addresses };
  const left =
    runDir === undefined ? findUnnoted(looker, os) : claimState({ ...looker, runDir, onUnreadable });
  const from = left?.state.name;
  if (from !== undefined && from !== name)
    log.info("instance.renamed", `the service of hupwatch '${from}' is '${name}' from now on`, { from });
  return left;
}

/** An address that the command line has left out may still have clients. */
function warnOfDropped({ current }: Takeover, held: readonly HeldSocket[], log: Log): void {
  const named = new Set(held.map(({ address }) => format(address)));
  const addresses = current.listeners.map((l) => l.address).filter((address) => !named.has(address));
  if (addresses.length > 0)
    log.warn(
      "address.dropped",
      `no longer in the command line: ${addresses.join(", ")}; released with generation ${current.number}`,
      { generation: current.number, addresses },
    );
}
