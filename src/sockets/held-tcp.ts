/**
 * A TCP port whose new connections are steered: one SO_REUSEPORT group with a listener per generation, and a
 * classic-BPF selector that names the one that gets new connections (socket(7); net/core/sock_reuseport.c).
 *
 * No listener of ours ever leaves the group: one whose generation is gone waits here, empty, for the next generation,
 * and every index stays what it was. Exceptions are one that its own server shut down (uWSGI does at its exit), and those
 * of survivors that the kernel does not hand out: see tcp-group.ts.
 *
 * While another socket listens there, neither clients nor probes are steered to a new listener: its index would be a guess, and
 * the answer could be a stranger's. Going back to one that clients have reached is allowed: its index is known.
 */
import { fstatSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import {
  attachReuseportSelector,
  type BpfInstruction,
  close,
  getsockname,
  isIPv6Only,
  isListening,
  isReadable,
  stopListening,
} from "../os/libc.ts";
import { listeningOn, tcpQueue } from "../os/netstat.ts";
import {
  type AdoptedListener,
  type Cutover,
  type GroupMember,
  type HeldSocket,
  type Listener,
  noLongerListens,
  type OwnListener,
  type SocketOptions,
} from "./held.ts";
import { Probe } from "./probe.ts";
import { allTo, oneSourceTo, ownPortsTo, portRange } from "./selectors.ts";
import { decode, format, hostBytes, type InetAddress, reachable } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import { holders, sharedWith } from "./stranger.ts";
import { type Member, type OwnMember, type SurvivorsMember, TcpGroup } from "./tcp-group.ts";
import { listenTcp, type Place } from "./tcp-listener.ts";

export class HeldTcp implements HeldSocket {
  readonly cutover: Cutover = { mode: "steer" };
  readonly address: InetAddress;
  readonly #group: TcpGroup;
  readonly #members = new WeakMap<Listener, OwnMember | SurvivorsMember>();
  /** Clients were sent to them. */
  readonly #reached = new WeakSet<Listener>();
  #current: OwnMember | SurvivorsMember | undefined;
  /** The newest generation's: `probePorts` lead there. */
  #newest: Member | undefined;
  readonly #options: SocketOptions;

  readonly adopted: Listener | undefined;

  /** Takes the port, or goes on with a survivor's listener. Throws HupwatchError where it is taken or forbidden. */
  constructor(
    readonly spec: SocketSpec,
    wanted: InetAddress,
    options: SocketOptions,
    found?: AdoptedListener,
  ) {
    this.#options = options;
    this.address = wanted;
    this.#group = new TcpGroup(
      () => this.address,
      () => this.#open(this.address, "in its group"),
    );
    if (found) this.#adopt(found);
    else {
      this.address = this.#claim(wanted);
      this.#requireAloneFromTheStart();
    }
    this.adopted = found && this.#current && this.#listener(this.#current);
    if (this.adopted) this.#reached.add(this.adopted);
  }

  /** As those of its group: the kernel would put one that differs into a group of its own. */
  get #isIPv6Only(): boolean {
    if (this.address.family !== "inet6") return false;
    const [member] = this.#group.own;
    return member ? isIPv6Only(member.fd) : this.#options.ipv6Only === true;
  }

  #adopt(found: AdoptedListener): void {
    const { fd, group = [] } = found;
    const inode = fd === undefined ? undefined : fstatSync(fd).ino;
    const own = group.find((member) => fstatSync(member).ino === inode);
    const known = own === undefined && fd !== undefined ? [fd] : group;
    // Where the kernel does not say, the record is all that is known.
    const there = listeningOn(hostBytes(this.address), this.address.port);
    const isAll = known.length > 0 && (there === undefined || there.length === known.length);
    for (const spare of [fd, ...group])
      if (spare !== undefined && !(isAll && known.includes(spare))) close(spare);
    if (!isAll) {
      this.#joinSurvivors(found);
      return;
    }
    // Alone in its group it has index 0, whatever it was before the others left; else its tee has kept the group together.
    for (const member of known) {
      const slot = this.#group.add(member);
      if (slot.inode === inode) this.#current = slot;
    }
    this.#select();
  }

  /** Theirs stay where they are and ours stand beside them, out of reach from their first moment by the selector that stands. */
  #joinSurvivors({ fd, inode, order }: AdoptedListener): void {
    if (!order) throw fd === undefined ? this.#forbidden() : this.#busy(this.#group.strangers);
    if (!this.#group.adopt(order)) throw this.#busy(this.#group.strangers);
    this.#current = this.#group.members.find((m) => m.kind === "survivor's" && m.inode === inode) as
      | SurvivorsMember
      | undefined;
    if (!this.#current) throw this.#busy([]);
    const { length } = this.#group.foreign;
    try {
      this.#group.join();
      // A member that left before the first of ours was there has changed the order in another way.
      if (this.#group.foreign.length !== length) throw this.#busy(this.#group.strangers);
      this.#select();
    } catch (error) {
      this.#group.closeAll();
      throw error instanceof HupwatchError && error.code === "bind.failed" ? this.#forbidden(error) : error;
    }
  }

  /** Another user's group is not open to us either. */
  #forbidden(cause?: unknown): HupwatchError {
    return new HupwatchError(
      "takeover.forbidden",
      `cannot take over '${this.spec.text}': the kernel does not allow a duplicate of the running generation's listener`,
      {
        hint: "run as the same user with kernel.yama.ptrace_scope=0 or CAP_SYS_PTRACE, or end that generation",
        cause,
      },
    );
  }

  #busy(strangers: readonly number[]): HupwatchError {
    const { port } = this.address;
    const found = strangers.length === 0 ? "" : ` (${holders(strangers)})`;
    return new HupwatchError(
      "takeover.busy",
      `cannot take over '${this.spec.text}': the sockets that listen there are not those that were left${found}`,
      { hint: `'ss -ltnp sport = :${port}' lists their processes; end all but the serving one` },
    );
  }

  #claim(wanted: InetAddress): InetAddress {
    const fd = this.#open(wanted, "first of a group");
    this.#group.add(fd);
    this.#select();
    return decode(getsockname(fd)) as InetAddress;
  }

  /** Between the mark of the first one and its listen(2) there was a moment. */
  #requireAloneFromTheStart(): void {
    try {
      this.#requireAlone();
    } catch (error) {
      this.#group.closeAll();
      throw error;
    }
  }

  listenFor(_generation: number): OwnListener {
    this.#follow();
    this.#requireAlone();
    const slot = this.#group.free ?? this.#join();
    this.#newest = slot;
    // The first member of a new group finds no selector.
    if (this.#group.members.length === 1 || this.probePorts !== undefined) this.#select();
    return this.#ownListener(slot);
  }

  #join(): OwnMember {
    const slot = this.#group.join();
    try {
      this.#requireAlone();
      return slot;
    } catch (error) {
      this.#group.drop(slot);
      throw error;
    }
  }

  /** Also at the address that is probed: a listener of that very address comes before one of all addresses. */
  #requireAlone(): void {
    const probed = reachable(this.address);
    const instead =
      probed.host === this.address.host
        ? []
        : (listeningOn(hostBytes(probed), probed.port) ?? []).map((l) => l.inode);
    const strangers = [...this.#group.strangers, ...instead];
    if (strangers.length > 0) throw sharedWith(this.spec, strangers);
  }

  groupDescriptors(): number[] {
    return this.#group.own.map((m) => m.fd);
  }

  group(): GroupMember[] {
    return this.#group.record;
  }

  #listener(slot: OwnMember | SurvivorsMember): Listener {
    return slot.kind === "own" ? this.#ownListener(slot) : this.#survivorsListener(slot);
  }

  #ownListener(slot: OwnMember): OwnListener {
    slot.taken = true;
    const listener: OwnListener = {
      ...{ heldBy: "hupwatch", fd: slot.fd, proof: true },
      hasQueued: () => isReadable(slot.fd),
      connect: () => this.#probe(slot),
      [Symbol.dispose]: () => {
        this.#follow();
        if (this.#newest === slot) {
          this.#newest = undefined;
          this.#select();
        }
        slot.taken = false;
        if (!this.#group.members.includes(slot)) close(slot.fd);
      },
    };
    this.#members.set(listener, slot);
    return listener;
  }

  #survivorsListener(slot: SurvivorsMember): Listener {
    const listener: Listener = {
      ...{ heldBy: "survivor", proof: true },
      hasQueued: () => tcpQueue(slot.inode) > 0,
      connect: () => this.#probe(slot),
      [Symbol.dispose]: () => this.#follow(),
    };
    this.#members.set(listener, slot);
    return listener;
  }

  #probe(slot: Member): Probe {
    return Probe.tcp(reachable(this.address), (source) => this.#route(source, slot));
  }

  /** The selector that stood meanwhile may have named no member, after a shutdown(2) of ours; then the kernel hashes. */
  #follow(): void {
    if (this.#group.follow()) this.#select();
  }

  #open(address: InetAddress, place: Place): number {
    return listenTcp(this.spec, address, { ...this.#options, ipv6Only: this.#isIPv6Only }, place);
  }

  steerTo(listener: Listener): void {
    this.#follow();
    const slot = this.#members.get(listener);
    if (!slot) throw new RangeError(`not a listener of ${format(this.address)}`);
    if (!this.#group.members.includes(slot)) throw noLongerListens(this.spec);
    if (!this.#reached.has(listener)) this.#requireAlone();
    this.#reached.add(listener);
    this.#current = slot;
    this.#newest = undefined;
    this.#select();
  }

  #select(): void {
    this.#attach(this.#others());
  }

  /** All but a probe of our own: to the serving one; from `probePorts` to the newest. */
  #others(): BpfInstruction[] {
    const toServing = allTo(this.#serving());
    const { probePorts } = this.#options;
    const newest = this.#newest ? this.#group.members.indexOf(this.#newest) : -1;
    return probePorts === undefined || newest < 0
      ? toServing
      : ownPortsTo(probePorts, this.address, newest, toServing);
  }

  get probePorts(): string | undefined {
    const { probePorts: from } = this.#options;
    return from === undefined ? undefined : portRange(from);
  }

  /** Its index in the kernel's order; the first one before any was steered to. */
  #serving(): number {
    return this.#current ? this.#group.members.indexOf(this.#current) : 0;
  }

  /** All connections to the serving listener, those of this one source to `slot`, until the returned function is called. Throws HupwatchError. */
  #route(source: InetAddress, slot: Member): () => void {
    this.#requireAlone();
    this.#attach(oneSourceTo(source, this.#group.members.indexOf(slot), this.#others()));
    return () => this.#select();
  }

  #attach(program: readonly BpfInstruction[]): void {
    const [member] = this.#group.own;
    if (member) attachReuseportSelector(member.fd, program);
  }

  leave(): void {
    this.#group.closeAll();
  }

  /** What escaped with a duplicate would else keep the port, and never answer. */
  [Symbol.dispose](): void {
    for (const { fd } of this.#group.own) if (isListening(fd)) stopListening(fd);
    this.leave();
  }
}
