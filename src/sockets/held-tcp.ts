/**
 * A TCP port whose new connections are steered: one SO_REUSEPORT group with a listener per generation, and a
 * classic-BPF selector that names the one that gets new connections (socket(7); net/core/sock_reuseport.c).
 *
 * The group's order is the order of listen(2), and a listener that leaves makes the last one jump into its place. So
 * none ever leaves: a listener whose generation is gone waits here, empty, for the next generation, and every index
 * stays what it was. The exception is one that its own server shut down (uWSGI does at its exit): see #follow.
 */
import { fstatSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import {
  attachReuseportSelector,
  type BpfInstruction,
  bind,
  close,
  getsockname,
  isListening,
  isReadable,
  listen,
  SystemError,
  setFlag,
  setNoDelay,
  socket,
} from "../os/libc.ts";
import { listeningOn } from "../os/netstat.ts";
import type { Cutover, HeldSocket, InheritedListener, Listener, SocketOptions } from "./held.ts";
import { type InetAddress, Probe } from "./probe.ts";
import { decode, encode, format, hostBytes } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

/** linux/bpf_common.h, linux/filter.h */
const LD_ABS = { word: 0x20, half: 0x28, byte: 0x30 } as const;
const AND_K = 0x54;
const JEQ_K = 0x15;
const RET_K = 0x06;
const SKF_NET_OFF = -0x100000;

interface Slot {
  fd: number;
  taken: boolean;
}

export class HeldTcp implements HeldSocket {
  readonly cutover: Cutover = { mode: "steer" };
  readonly address: InetAddress;
  /** In the kernel's order. */
  readonly #slots: Slot[] = [];
  #current: Slot | undefined;
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
    this.address = inherited ? this.#adopt(wanted, inherited) : this.#claim(wanted);
    this.adopted = inherited && this.#listener(this.#current as Slot);
  }

  /** Alone in its group it has index 0, whatever it was before the others left; else its relay has kept the group together. */
  #adopt(wanted: InetAddress, { fd, group = [] }: InheritedListener): InetAddress {
    if (fd === undefined)
      throw new HupwatchError(
        "takeover.forbidden",
        `cannot take over '${this.spec.text}': the kernel does not hand out the listener of the running generation`,
        {
          hint: "run as the same user with kernel.yama.ptrace_scope=0 or CAP_SYS_PTRACE, or end that generation",
        },
      );
    const inode = fstatSync(fd).ino;
    const own = group.find((member) => fstatSync(member).ino === inode);
    const known = own === undefined ? [fd] : group;
    for (const spare of own === undefined ? group : [fd]) close(spare);
    const others = listeningOn(hostBytes(wanted), wanted.port).length - known.length;
    if (others !== 0)
      throw new HupwatchError(
        "takeover.busy",
        `cannot take over '${this.spec.text}': other sockets listen there than the ones that were left`,
        { hint: `'ss -ltnp sport = :${wanted.port}' names their processes; end all but the serving one` },
      );
    for (const member of known) {
      const slot = { fd: member, taken: false };
      this.#slots.push(slot);
      if (member === (own ?? fd)) this.#current = slot;
    }
    this.#select();
    return wanted;
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
      bind(fd, encode(wanted));
      setFlag(fd, "reuseport");
      listen(fd, this.#options.backlog);
    } catch (error) {
      close(fd);
      throw explain(error, this.spec, wanted);
    }
    this.#slots.push({ fd, taken: false });
    this.#select();
    return decode(getsockname(fd)) as InetAddress;
  }

  listenFor(_generation: number): Listener {
    this.#follow();
    return this.#listener(this.#slots.find((s) => !s.taken) ?? this.#join());
  }

  groupDescriptors(): number[] {
    return this.#slots.map((s) => s.fd);
  }

  #listener(slot: Slot): Listener {
    slot.taken = true;
    return {
      fd: slot.fd,
      proof: true,
      hasQueued: () => isReadable(slot.fd),
      connect: () => Probe.tcp(probeTarget(this.address), (source) => this.#route(source, slot)),
      [Symbol.dispose]: () => {
        this.#follow();
        slot.taken = false;
        if (!this.#slots.includes(slot)) close(slot.fd);
      },
    };
  }

  /**
   * Does what the kernel has done: a listener that was shut down has left the group and the last one has its place
   * (reuseport_stop_listen_sock). The selector that stood meanwhile may have named nobody; then the kernel hashes.
   */
  #follow(): void {
    let at = this.#slots.findIndex((s) => !isListening(s.fd));
    if (at < 0) return;
    for (; at >= 0; at = this.#slots.findIndex((s) => !isListening(s.fd))) {
      const shut = this.#slots[at] as Slot;
      const last = this.#slots.pop() as Slot;
      if (last !== shut) this.#slots[at] = last;
      if (!shut.taken) close(shut.fd);
    }
    this.#select();
  }

  /** The selector stands already, so the new member gets nothing from its first moment on. */
  #join(): Slot {
    const fd = socket(this.address.family, false);
    try {
      setFlag(fd, "reuseaddr");
      setFlag(fd, "reuseport");
      setNoDelay(fd);
      bind(fd, encode(this.address));
      listen(fd, this.#options.backlog);
    } catch (error) {
      close(fd);
      throw explain(error, this.spec, this.address);
    }
    const slot = { fd, taken: false };
    // The first member of a new group finds no selector.
    if (this.#slots.push(slot) === 1) this.#select();
    return slot;
  }

  steerTo(listener: Listener): void {
    this.#follow();
    const slot = this.#slots.find((s) => s.fd === listener.fd);
    if (!isListening(listener.fd))
      throw new HupwatchError(
        "socket.shut-down",
        `'${this.spec.text}' no longer listens: a generation shut it down`,
        { hint: "keep the server from calling shutdown(2) on a socket it was given" },
      );
    if (!slot) throw new RangeError(`listener ${listener.fd} is not one of ${format(this.address)}`);
    this.#current = slot;
    this.#select();
  }

  #select(): void {
    this.#attach([ret(this.#serving())]);
  }

  /** Its index in the kernel's order; the first one before anybody was steered to. */
  #serving(): number {
    return this.#current ? this.#slots.indexOf(this.#current) : 0;
  }

  /** Everybody to the serving listener, this one source to `slot`, until the returned function is called. */
  #route(source: InetAddress, slot: Slot): () => void {
    this.#attach(selectorFor(source, this.#slots.indexOf(slot), this.#serving()));
    return () => this.#select();
  }

  #attach(program: readonly BpfInstruction[]): void {
    const member = this.#slots[0];
    if (member) attachReuseportSelector(member.fd, program);
  }

  leave(): void {
    for (const slot of this.#slots) close(slot.fd);
    this.#slots.length = 0;
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
