/**
 * A TCP port whose new connections are steered: one SO_REUSEPORT group with a listener per generation, and a
 * classic-BPF selector that names the one that gets new connections (socket(7); net/core/sock_reuseport.c).
 *
 * No listener of ours ever leaves the group: one whose generation is gone waits here, empty, for the next generation,
 * and every index stays what it was. Exceptions are one that its own server shut down (uWSGI does at its exit), and those
 * of survivors that the kernel does not hand out: see tcp-group.ts.
 */
import { fstatSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import {
  attachReuseportSelector,
  type BpfInstruction,
  bind,
  close,
  getsockname,
  isIPv6Only,
  isReadable,
  listen,
  SystemError,
  setFlag,
  setIPv6Only,
  setNoDelay,
  socket,
} from "../os/libc.ts";
import { listeningOn, tcpQueue } from "../os/netstat.ts";
import type { Cutover, HeldSocket, InheritedListener, Listener, SocketOptions } from "./held.ts";
import { type InetAddress, Probe } from "./probe.ts";
import { decode, encode, format, hostBytes } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import { type Member, TcpGroup } from "./tcp-group.ts";

/** linux/bpf_common.h, linux/filter.h */
const LD_ABS = { word: 0x20, half: 0x28, byte: 0x30 } as const;
const AND_K = 0x54;
const JEQ_K = 0x15;
const RET_K = 0x06;
const SKF_NET_OFF = -0x100000;

export class HeldTcp implements HeldSocket {
  readonly cutover: Cutover = { mode: "steer" };
  readonly address: InetAddress;
  readonly #group: TcpGroup;
  readonly #members = new WeakMap<Listener, Member>();
  #current: Member | undefined;
  readonly #options: SocketOptions;

  readonly adopted: Listener | undefined;

  /** Takes the port, or goes on with a survivor's listener. Throws HupwatchError where it is taken or forbidden. */
  constructor(
    readonly spec: SocketSpec,
    wanted: InetAddress,
    options: SocketOptions,
    inherited?: InheritedListener,
  ) {
    this.#options = options;
    this.address = wanted;
    this.#group = new TcpGroup(
      () => this.address,
      () => this.#open(),
    );
    if (inherited) this.#adopt(inherited);
    else this.address = this.#claim(wanted);
    this.adopted = inherited && this.#listener(this.#current as Member);
  }

  /** As those of its group: the kernel would put one that differs into a group of its own. */
  get #isIPv6Only(): boolean {
    if (this.address.family !== "inet6") return false;
    const [member] = this.#group.own;
    return member ? isIPv6Only(member.fd) : this.#options.ipv6Only === true;
  }

  #adopt(inherited: InheritedListener): void {
    const { fd, group = [] } = inherited;
    const inode = fd === undefined ? undefined : fstatSync(fd).ino;
    const own = group.find((member) => fstatSync(member).ino === inode);
    const known = own === undefined && fd !== undefined ? [fd] : group;
    const isAll =
      known.length > 0 && listeningOn(hostBytes(this.address), this.address.port).length === known.length;
    for (const spare of [fd, ...group])
      if (spare !== undefined && !(isAll && known.includes(spare))) close(spare);
    if (!isAll) {
      this.#joinSurvivors(inherited);
      return;
    }
    // Alone in its group it has index 0, whatever it was before the others left; else its relay has kept the group together.
    for (const member of known) {
      const slot = this.#group.add(member);
      if (slot.inode === inode) this.#current = slot;
    }
    this.#select();
  }

  /** Theirs stay where they are and ours stand beside them, out of reach from their first moment by the selector that stands. */
  #joinSurvivors({ inode, order }: InheritedListener): void {
    if (!order) throw this.#forbidden();
    if (!this.#group.inherit(order)) throw this.#busy();
    this.#current = this.#group.members.find((m) => m.inode === inode);
    if (!this.#current) throw this.#busy();
    const { length } = this.#group.foreign;
    try {
      this.#group.join();
      // Who left before the first of ours was there has changed the order in another way.
      if (this.#group.foreign.length !== length) throw this.#busy();
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
      `cannot take over '${this.spec.text}': the kernel does not hand out the listener of the running generation`,
      {
        hint: "run as the same user with kernel.yama.ptrace_scope=0 or CAP_SYS_PTRACE, or end that generation",
        cause,
      },
    );
  }

  #busy(): HupwatchError {
    const { port } = this.address;
    return new HupwatchError(
      "takeover.busy",
      `cannot take over '${this.spec.text}': other sockets listen there than the ones that were left`,
      { hint: `'ss -ltnp sport = :${port}' names their processes; end all but the serving one` },
    );
  }

  /**
   * Bound without SO_REUSEPORT, so that the kernel refuses a port that anybody listens on, then marked: joining a
   * stranger's group of the same user unasked would steal half of its connections.
   */
  #claim(wanted: InetAddress): InetAddress {
    const fd = socket(wanted.family, false);
    try {
      setFlag(fd, "reuseaddr");
      // Who takes a descriptor may not know that it is TCP and leave Nagle's delay on: uvicorn --fd answers a kept
      // connection 40 ms later for it. Accepted connections inherit the option.
      setNoDelay(fd);
      if (this.#options.ipv6Only) setIPv6Only(fd);
      bind(fd, encode(wanted));
      setFlag(fd, "reuseport");
      listen(fd, this.#options.backlog);
    } catch (error) {
      close(fd);
      throw explain(error, this.spec, wanted);
    }
    this.#group.add(fd);
    this.#select();
    return decode(getsockname(fd)) as InetAddress;
  }

  listenFor(_generation: number): Listener {
    this.#follow();
    const slot = this.#group.free ?? this.#group.join();
    // The first member of a new group finds no selector.
    if (this.#group.members.length === 1) this.#select();
    return this.#listener(slot);
  }

  groupDescriptors(): number[] {
    return this.#group.own.map((m) => m.fd);
  }

  groupInodes(): number[] {
    return this.#group.inodes;
  }

  #listener(slot: Member): Listener {
    slot.taken = true;
    const listener: Listener = {
      fd: slot.fd,
      isForeign: slot.fd < 0,
      proof: true,
      hasQueued: () => (slot.fd < 0 ? tcpQueue(slot.inode) > 0 : isReadable(slot.fd)),
      connect: () => Probe.tcp(probeTarget(this.address), (source) => this.#route(source, slot)),
      [Symbol.dispose]: () => {
        this.#follow();
        slot.taken = false;
        if (slot.fd >= 0 && !this.#group.members.includes(slot)) close(slot.fd);
      },
    };
    this.#members.set(listener, slot);
    return listener;
  }

  /** The selector that stood meanwhile may have named nobody, after a shutdown(2) of ours; then the kernel hashes. */
  #follow(): void {
    if (this.#group.follow()) this.#select();
  }

  #open(): number {
    const fd = socket(this.address.family, false);
    try {
      setFlag(fd, "reuseaddr");
      setFlag(fd, "reuseport");
      setNoDelay(fd);
      if (this.#isIPv6Only) setIPv6Only(fd);
      bind(fd, encode(this.address));
      listen(fd, this.#options.backlog);
      return fd;
    } catch (error) {
      close(fd);
      throw explain(error, this.spec, this.address);
    }
  }

  steerTo(listener: Listener): void {
    this.#follow();
    const slot = this.#members.get(listener);
    if (!slot) throw new RangeError(`listener ${listener.fd} is not one of ${format(this.address)}`);
    if (!this.#group.members.includes(slot))
      throw new HupwatchError(
        "socket.shut-down",
        `'${this.spec.text}' no longer listens: a generation shut it down`,
        { hint: "keep the server from calling shutdown(2) on a socket it was given" },
      );
    this.#current = slot;
    this.#select();
  }

  #select(): void {
    this.#attach([ret(this.#serving())]);
  }

  /** Its index in the kernel's order; the first one before anybody was steered to. */
  #serving(): number {
    return this.#current ? this.#group.members.indexOf(this.#current) : 0;
  }

  /** Everybody to the serving listener, this one source to `slot`, until the returned function is called. */
  #route(source: InetAddress, slot: Member): () => void {
    this.#attach(selectorFor(source, this.#group.members.indexOf(slot), this.#serving()));
    return () => this.#select();
  }

  #attach(program: readonly BpfInstruction[]): void {
    const [member] = this.#group.own;
    if (member) attachReuseportSelector(member.fd, program);
  }

  leave(): void {
    this.#group.closeAll();
  }

  [Symbol.dispose](): void {
    this.leave();
  }
}

const ret = (k: number): BpfInstruction => [RET_K, 0, 0, k];

/**
 * Compares the IP version, source address and source port of a SYN: `index` for the one source, `others` for all
 * else. The version goes first: a load beyond the end of a packet would end the program with 0.
 */
export function selectorFor(source: InetAddress, index: number, others: number): BpfInstruction[] {
  const bytes = hostBytes(source);
  // An IPv4-mapped address (::ffff:a.b.c.d) is spoken to in IPv4 packets.
  const mapped = bytes.length === 16 && bytes.findIndex((b) => b !== 0) === 10 && bytes[10] === 0xff;
  const v6 = bytes.length === 16 && !mapped;
  const words = new DataView(Uint8Array.from(mapped ? bytes.subarray(12) : bytes).buffer);
  const tests: { load: BpfInstruction[]; equals: number }[] = [
    {
      load: [
        [LD_ABS.byte, 0, 0, SKF_NET_OFF],
        [AND_K, 0, 0, 0xf0],
      ],
      equals: v6 ? 0x60 : 0x40,
    },
  ];
  for (let i = 0; i < words.byteLength; i += 4)
    tests.push({ load: [[LD_ABS.word, 0, 0, SKF_NET_OFF + (v6 ? 8 : 12) + i]], equals: words.getUint32(i) });
  // Packets of a connect over loopback carry no IP options: the ports follow at once (RFC 791: 20 bytes, RFC 8200: 40).
  tests.push({ load: [[LD_ABS.half, 0, 0, SKF_NET_OFF + (v6 ? 40 : 20)]], equals: source.port });

  const length = tests.reduce((n, t) => n + t.load.length + 1, 0);
  const program: BpfInstruction[] = [];
  for (const { load, equals } of tests) {
    program.push(...load);
    const toOthers = length - program.length;
    program.push([JEQ_K, 0, toOthers, equals]);
  }
  return [...program, ret(index), ret(others)];
}

/** Wildcard listeners are reached over loopback, others at their own address. */
function probeTarget(address: InetAddress): InetAddress {
  if (address.family === "inet" && address.host === "0.0.0.0") return { ...address, host: "127.0.0.1" };
  if (address.family === "inet6" && address.host === "::") return { ...address, host: "::1" };
  return address;
}

function explain(error: unknown, spec: SocketSpec, address: InetAddress): unknown {
  if (!(error instanceof SystemError)) return error;
  const where = spec.text === format(address) ? `'${spec.text}'` : `'${spec.text}' (${format(address)})`;
  const hints: Record<string, [string, string]> = {
    EADDRINUSE: [
      "the port is taken",
      `end what listens there ('ss -ltnp sport = :${address.port}' names it) or choose another port`,
    ],
    EACCES: [
      "ports below 1024 need a right that this user has not",
      "run as root or with CAP_NET_BIND_SERVICE, lower net.ipv4.ip_unprivileged_port_start, or choose another port",
    ],
    EADDRNOTAVAIL: ["this machine has no such address", "'ip addr' lists those it has; 0.0.0.0 takes all"],
  };
  const [why, hint] = hints[error.errno] ?? [error.message, "see socket(7) for this error"];
  return new HupwatchError("bind.failed", `cannot bind ${where}: ${why}`, { hint, cause: error });
}
