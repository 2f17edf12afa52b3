/**
 * What the keeper holds for each generation whose calls it answers: the filter's descriptor, the listeners that stand in the place of what it
 * binds, and others that only stay open. It owns all of these.
 */
import { fstatSync } from "node:fs";
import { close } from "../os/libc.ts";
import { format } from "../sockets/sockaddr.ts";
import { removeNames } from "../sockets/unix-path.ts";
import type { Charge } from "./give.ts";
import type { HandedListener, KeeperEvent, KeeperRequest, KeptCharge } from "./protocol.ts";
import type { Given, RecordedOption } from "./table.ts";

/** More than any server has workers. */
const MAX_BINDERS = 1000;

export interface Kept extends Charge {
  readonly generation: number;
  /** Descriptors that only stay open. */
  readonly others: number[];
}

export class Charges {
  /** By the filter's descriptor. */
  readonly #of = new Map<number, Kept>();

  constructor(private readonly tell: (event: KeeperEvent) => void) {}

  get isEmpty(): boolean {
    return this.#of.size === 0;
  }

  /** Where the calls come in. */
  get filters(): number[] {
    return [...this.#of.keys()];
  }

  get(notify: number): Kept | undefined {
    return this.#of.get(notify);
  }

  get #all(): Kept[] {
    return [...this.#of.values()];
  }

  /** For another hupwatch, or another keeper; the descriptors in the same order, for each charge its filter, its listeners and the others. */
  describe(): { charges: KeptCharge[]; fds: number[] } {
    const charges = this.#all.map(({ generation, given, others, learning }) => ({
      generation,
      listeners: given.map(({ address, alsoAt, ipv6Only, privatePath }) => {
        return { address, alsoAt, ipv6Only, privatePath };
      }),
      others: others.length,
      learns: learning && { backlog: learning.backlog },
    }));
    return { charges, fds: this.#all.flatMap((charge) => [charge.notify, ...descriptorsOf(charge)]) };
  }

  /**
   * From now on its calls are answered. `fds`: its listeners, and others that only stay open. What binds an address is added to
   * `binders`.
   */
  add(
    about: Pick<Kept, "generation" | "notify" | "learning">,
    { listeners, fds }: { listeners: readonly HandedListener[]; fds: readonly number[] },
    binders: Set<number>,
  ): Kept {
    const given = givenOf(listeners, fds);
    const charge: Kept = {
      ...about,
      given,
      others: fds.slice(listeners.length),
      options: new Map<number, RecordedOption[]>(),
      isInUse: ({ inode }) => this.#all.some((c) => c.given.some((g) => g.inode === inode && g.isBound)),
      givenToAny: () => this.#all.flatMap((c) => c.given),
      letGo: (one) => {
        given.splice(given.indexOf(one), 1);
        removeFiles(one);
        close(one.fd);
      },
      saw: (event, one, pid) => this.#saw(event, one, { generation: about.generation, pid, binders }),
    };
    this.#of.set(about.notify, charge);
    return charge;
  }

  #saw(
    event: "bound" | "listening",
    { address, inode, isLearned, privatePath }: Given,
    { generation, pid, binders }: { generation: number; pid: number; binders: Set<number> },
  ): void {
    const about = { generation, pid, address: format(address) };
    if (event === "listening") {
      const path = privatePath ? { privatePath } : {};
      this.tell({ event, ...about, inode, learned: isLearned, ...path });
      return;
    }
    // One line for each of them: workers that bind by themselves do it again and again.
    if (binders.has(pid)) return;
    if (binders.size < MAX_BINDERS) binders.add(pid);
    this.tell({ event, ...about });
  }

  /** More listeners, and others that stay open with them. Of a generation that is gone they are of no use. */
  give({ generation, listeners }: Extract<KeeperRequest, { do: "give" }>, fds: readonly number[]): void {
    const charge = this.#all.find((c) => c.generation === generation);
    charge?.given.push(...givenOf(listeners, fds));
    charge?.others.push(...fds.slice(listeners.length));
    if (!charge) for (const fd of fds) close(fd);
  }

  forget({ generation, inodes }: Extract<KeeperRequest, { do: "forget" }>): void {
    for (const charge of this.#all) {
      if (charge.generation !== generation) continue;
      const given = charge.given.filter((g) => inodes.includes(g.inode));
      const others = charge.others.filter((fd) => inodes.includes(fstatSync(fd).ino));
      for (const one of given) charge.given.splice(charge.given.indexOf(one), 1);
      for (const one of others) charge.others.splice(charge.others.indexOf(one), 1);
      for (const fd of new Set([...given.map((g) => g.fd), ...others])) close(fd);
    }
  }

  /** Of that socket, by its number in /proc; it stays here. */
  descriptorOf(inode: number): number | undefined {
    return this.#all.flatMap(descriptorsOf).find((fd) => fstatSync(fd).ino === inode);
  }

  /** No process has its filter any more. */
  release(charge: Kept): void {
    this.#of.delete(charge.notify);
    this.tell({ event: "released", generation: charge.generation });
    for (const one of charge.given) if (one.isLearned && !one.isListening) removeFiles(one);
    for (const fd of new Set([charge.notify, ...descriptorsOf(charge)])) close(fd);
  }
}

const descriptorsOf = ({ given, others }: Kept): number[] => [...given.map((g) => g.fd), ...others];

const givenOf = (handed: readonly HandedListener[], fds: readonly number[]): Given[] =>
  handed.map((listener, i): Given => {
    const fd = fds[i] as number;
    const inode = fstatSync(fd).ino;
    return { ...listener, fd, inode, isBound: false, isListening: false, isLearned: false };
  });

/** Of a socket that was bound and never listened, of which hupwatch knows nothing. */
function removeFiles({ address, privatePath }: Given): void {
  if (address.family === "unix" && privatePath !== undefined) removeNames(format(address), privatePath);
}
