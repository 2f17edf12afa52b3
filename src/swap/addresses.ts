/**
 * The addresses that are held from the start, and those that a generation is seen to listen at later, which are held from then on. Owns
 * the sockets behind them; which listener they lead to is a generation's (generations.ts).
 */
import { HupwatchError } from "../error.ts";
import type { Gen, ServiceEvent, Tell } from "../events/service-event.ts";
import type { Generation } from "../generation/generation.ts";
import { unswappable } from "../generation/unheld.ts";
import { learns, type RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket, PathNews } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import type { Generations } from "./generations.ts";
import type { Phase } from "./states.ts";

export class Addresses {
  /** `renewed`: a public path was made anew, and every server that binds it by itself has to follow. */
  constructor(
    private readonly plan: RunPlan,
    private readonly held: HeldSocket[],
    private readonly generations: Generations,
    private readonly tell: Tell,
    private readonly renewed: () => void,
  ) {
    for (const socket of held) this.#keep(socket);
  }

  /** I3: what is done about its public path, from here on by whichever generation's process. */
  #keep(socket: HeldSocket): void {
    const owns = (pid: number) => this.generations.owns(pid);
    socket.keep?.({ owns, renews: true, tell: (news) => this.#tellOfPath(news) });
  }

  #tellOfPath({ what, ...facts }: PathNews): void {
    this.tell({ event: `socket.${what}`, ...facts } as ServiceEvent);
    if (what === "renewed") this.renewed();
  }

  get areSteered(): boolean {
    return this.held.some(({ cutover }) => cutover.mode === "steer");
  }

  /** I3: whatever has just begun, failed or ended may have unlinked a public path, or bound it. */
  look(): void {
    for (const socket of this.held) socket.look?.();
  }

  /** Of an address that the serving one has bound by itself no second copy can have its share. Throws HupwatchError. */
  requireHeld(): void {
    if (this.plan.sockets.length > 0 || this.plan.isHandoverRefused) return;
    const unheld = this.generations.public?.unheld() ?? [];
    if (unheld.length > 0) throw unswappable(unheld, this.plan);
  }

  /** This generation listens there, which was unknown so far. */
  learn(socket: HeldSocket, generation: Generation): void {
    this.held.push(socket);
    this.#keep(socket);
    const address = format(socket.address);
    this.tell({ event: "socket.learned", address, generation: generation.number });
    generation.learn(socket);
  }

  /**
   * An older one has begun to listen there, and only now. One that boots has to, too; of one that was ready without, the flip is taken
   * back; and where the older one is on its way out, its clients wait for this one. Throws HupwatchError and SystemError.
   */
  offer(socket: HeldSocket, { to, from, phase }: { to: Generation; from: Gen; phase: Phase }): void {
    to.offer(socket);
    if (phase === "warming" || phase === "warm")
      throw new HupwatchError(
        "swap.late-listener",
        `does not listen at ${format(socket.address)}, where generation ${from} has just begun to`,
      );
    const listener = to.listeners.of(socket);
    if (listener && this.generations.publicNumber === to.number) socket.steerTo(listener);
  }

  /** A learned address at which no generation listens any more is released. */
  letGo(): void {
    if (!learns(this.plan)) return;
    for (const socket of [...this.held]) {
      if (this.generations.all.some(({ listeners }) => listeners.of(socket))) continue;
      this.held.splice(this.held.indexOf(socket), 1);
      socket[Symbol.dispose]();
      this.tell({ event: "socket.released", address: format(socket.address) });
    }
  }
}
