/**
 * The members of one SO_REUSEPORT group in the kernel's order, which a selector's answer is an index of.
 *
 * Members join at the end. When one leaves, the last one takes its index (net/core/sock_reuseport.c). Our own members leave
 * only when we close them. Members of survivors that the kernel does not hand out to us leave at any time. So for each of those
 * there is one idle member of ours at the end: when one leaves, an idle one takes its index, and every index that connections are
 * steered to stays valid, without a moment in between. Which idle member has which index is not known afterwards: connections
 * are never steered to them.
 */
import { fstatSync } from "node:fs";
import { close, isListening } from "../os/libc.ts";
import { listeningOn } from "../os/netstat.ts";
import type { GroupMember } from "./held.ts";
import { hostBytes, type InetAddress } from "./sockaddr.ts";

export type Member = OwnMember | SurvivorsMember | IdleMember;

export interface OwnMember {
  readonly kind: "own";
  readonly fd: number;
  readonly inode: number;
  /** May be given to a generation. */
  usable: boolean;
  taken: boolean;
}

/** Not handed out to us. */
export interface SurvivorsMember {
  readonly kind: "survivor's";
  readonly inode: number;
}

/** One that an earlier hupwatch left at the end: its number is not known. */
export interface IdleMember {
  readonly kind: "idle";
}

export class TcpGroup {
  readonly members: Member[] = [];

  constructor(
    private readonly address: () => InetAddress,
    /** A new listener of ours in the same group. */
    private readonly open: () => number,
  ) {}

  /** A listener of ours that is its last member. */
  add(fd: number, { usable = true } = {}): OwnMember {
    const member: OwnMember = { kind: "own", fd, inode: fstatSync(fd).ino, usable, taken: false };
    this.members.push(member);
    return member;
  }

  /** Members of ours that are still there. */
  get own(): OwnMember[] {
    return this.members.filter((m) => m.kind === "own");
  }

  get foreign(): (SurvivorsMember | IdleMember)[] {
    return this.members.filter((m) => m.kind !== "own");
  }

  get #survivors(): SurvivorsMember[] {
    return this.members.filter((m) => m.kind === "survivor's");
  }

  get #idle(): IdleMember[] {
    return this.members.filter((m) => m.kind === "idle");
  }

  /** The numbers of all but the idle ones. */
  get #known(): Set<number> {
    return new Set(this.members.flatMap((m) => (m.kind === "idle" ? [] : m.inode)));
  }

  /**
   * Goes on with what survivors have, in the order that was recorded. False where other sockets listen than those, or in an
   * order that is not known.
   */
  adopt(recorded: readonly GroupMember[]): boolean {
    const listening = this.#listening();
    this.members.push(
      ...recorded.map((inode) =>
        inode === "idle" ? ({ kind: "idle" } as const) : ({ kind: "survivor's", inode } as const),
      ),
    );
    if (!listening) return true;
    const gone = this.#survivors.filter((m) => !listening.has(m.inode));
    for (const member of gone.reverse()) {
      const last = this.members.at(-1);
      if (last !== member && last?.kind !== "idle" && listening.size !== 1) return false;
      this.#remove(member);
    }
    // Idle ones are all alike: which of them has gone does not matter while the last one is idle, too.
    while (this.members.length > listening.size && this.members.at(-1)?.kind === "idle") this.members.pop();
    return this.members.length === listening.size;
  }

  /** One that waits for a generation, and that the departure of survivors' does not move. */
  get free(): OwnMember | undefined {
    const stable = this.members.slice(0, this.members.length - this.foreign.length);
    return stable.filter((m) => m.kind === "own").find((m) => m.usable && !m.taken);
  }

  /** A member that may be given to a generation. Tried again where members left meanwhile: then its place is not known. */
  join(): OwnMember {
    for (;;) {
      const slot = this.add(this.open(), { usable: this.foreign.length === 0 });
      if (slot.usable) return slot;
      for (const _ of this.foreign) this.add(this.open(), { usable: false });
      if (!this.#followForeign()) {
        slot.usable = true;
        return slot;
      }
    }
  }

  /** Does what the kernel has done to members that left. True where one did. */
  follow(): boolean {
    const foreign = this.#followForeign();
    const shut = this.own.filter((m) => !isListening(m.fd));
    for (const member of shut) {
      this.#remove(member);
      if (!member.taken) close(member.fd);
    }
    return foreign || shut.length > 0;
  }

  /**
   * Other sockets that listen at this address. The idle members of an earlier hupwatch have no known number, so as many unknown sockets as
   * there are idle members cannot be told from strangers, and are taken for idle members.
   */
  get strangers(): number[] {
    const known = this.#known;
    const unknown = [...(this.#listening() ?? [])].filter((inode) => !known.has(inode));
    return unknown.length > this.#idle.length ? unknown : [];
  }

  /** Takes one of ours out again that no connection was steered to. */
  drop(member: OwnMember): void {
    this.#remove(member);
    close(member.fd);
  }

  /** In the kernel's order, as a later start has to know them. */
  get record(): GroupMember[] {
    return this.members.map((m) => (m.kind === "idle" || (m.kind === "own" && !m.usable) ? "idle" : m.inode));
  }

  closeAll(): void {
    for (const { fd } of this.own) close(fd);
    this.members.length = 0;
  }

  #followForeign(): boolean {
    if (this.foreign.length === 0) return false;
    const listening = this.#listening();
    if (!listening) return false;
    const known = this.#known;
    // Idle ones of an earlier hupwatch have no number: so many are left as listen there beside all that is known.
    const idle = [...listening].filter((inode) => !known.has(inode)).length;
    const gone = [...this.#survivors.filter((m) => !listening.has(m.inode)), ...this.#idle.slice(idle)];
    for (const member of gone) this.#remove(member);
    return gone.length > 0;
  }

  #remove(member: Member): void {
    const at = this.members.indexOf(member);
    const last = this.members.pop();
    if (last && last !== member) this.members[at] = last;
  }

  /** Undefined where the kernel does not say: then nothing has changed as far as we know. */
  #listening(): Set<number> | undefined {
    const address = this.address();
    const sockets = listeningOn(hostBytes(address), address.port);
    return sockets && new Set(sockets.map((s) => s.inode));
  }
}
