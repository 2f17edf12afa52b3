/**
 * Carries out the looks of looks.ts at processes, addresses and memory: they report what no event of the machine says. A look decides
 * nothing, and if it fails, nothing else does.
 */
import type { Gen, Tell } from "../events/service-event.ts";
import { Escaped } from "../generation/escaped.ts";
import type { Generation } from "../generation/generation.ts";
import type { Unheld } from "../generation/unheld.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import type { Os } from "../os/os.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import { Memory } from "./memory.ts";
import { OwnAddresses } from "./own-addresses.ts";
import type { Effect, State } from "./states.ts";

const isAlone = ({ phase, draining }: State): boolean => phase === "serving" && draining.length === 0;

const NAMES_OF_ESCAPED: Aid = {
  what: "reading the processes that became children of hupwatch",
  loss: "those that outlive their generation are not named",
};
const KILLED: Aid = {
  what: "reading what the kernel kills when memory is short",
  loss: "such kills are not reported",
};

interface Watched {
  plan: RunPlan;
  os: Os;
  held: readonly HeldSocket[];
  /** Those that are there. */
  generations: ReadonlyMap<Gen, Generation>;
  tell: Tell;
}

/** `serving`: the generation that new connections go to. */
interface Now {
  state: State;
  serving: Gen | undefined;
}

export class Lookout {
  readonly #escaped: Escaped;
  readonly #ownAddresses: OwnAddresses;
  readonly #memory: Memory;

  constructor(private readonly of: Watched) {
    this.#escaped = new Escaped(of.os);
    this.#ownAddresses = new OwnAddresses(of.tell);
    this.#memory = new Memory(() => of.os.oomKills(), of.tell);
  }

  /** From now on two generations are in memory. */
  swapBegins(gen: Gen): void {
    orWithout(KILLED, () => this.#memory.swapBegins(gen), undefined);
  }

  look({ at, gen }: Extract<Effect, { do: "look" }>, { state, serving }: Now): void {
    if (at === "memory") orWithout(KILLED, () => this.#memory.check(isAlone(state)), undefined);
    else if (gen === undefined) return;
    else if (at === "escaped") orWithout(NAMES_OF_ESCAPED, () => this.#tellEscaped(gen), undefined);
    else if (this.of.plan.isHandoverRefused) return;
    else if (at === "own-addresses") this.#ownAddresses.serves(gen, this.#unheldBy(gen));
    else this.#lookAtLostAddresses(gen, serving);
  }

  #unheldBy(gen: Gen): Unheld[] {
    return this.of.generations.get(gen)?.unheld() ?? [];
  }

  /** One that is learned may have been seen before it was held. */
  #addressesOf(gen: Gen): string[] {
    const own = this.#unheldBy(gen).map(({ address }) => address);
    return [...own, ...this.of.held.map(({ address }) => format(address))];
  }

  #lookAtLostAddresses(gen: Gen, serving: Gen | undefined): void {
    const isAsked = this.#ownAddresses.has(gen) && serving !== undefined && serving !== gen;
    const now = isAsked ? { generation: serving, addresses: this.#addressesOf(serving) } : undefined;
    this.#ownAddresses.gone(gen, now);
  }

  /** I6: what its takedown could not find is named before it is said to be gone. */
  #tellEscaped(gen: Gen): void {
    const begin = this.of.generations.get(gen)?.processes.leader?.startTime;
    if (begin === undefined) return;
    const living = [...this.of.generations.values()];
    // A process that began beside a younger generation may belong to that one, and is named with it.
    const younger = living.flatMap(({ number, processes }) =>
      number > gen ? (processes.leader?.startTime ?? []) : [],
    );
    const trees = () => living.flatMap((generation) => generation.processes.all());
    const listeners = living.flatMap((generation) => generation.listeners.record());
    const processes = this.#escaped.between(begin, Math.min(...younger), trees).map((process) => {
      const sockets = this.of.os.socketsOf(process.pid);
      const held = listeners.filter(({ inode }) => sockets.has(`${inode}`)).map(({ address }) => address);
      return { ...process, listeners: [...new Set(held)] };
    });
    if (processes.length > 0) this.of.tell({ event: "generation.escaped", generation: gen, processes });
  }
}
