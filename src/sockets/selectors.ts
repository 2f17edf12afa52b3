/**
 * The classic-BPF programs that name the listener of a SO_REUSEPORT group that gets a new connection, by its index in the
 * kernel's order (socket(7); net/core/filter.c); and whether this kernel takes them from an unprivileged process.
 */
import { attachReuseportSelector, type BpfInstruction, close, setFlag, socket } from "../os/libc.ts";
import { hostBytes, type InetAddress } from "./sockaddr.ts";

/** linux/bpf_common.h, linux/filter.h */
const LD_ABS = { word: 0x20, half: 0x28, byte: 0x30 } as const;
const AND_K = 0x54;
const JEQ_K = 0x15;
const RET_K = 0x06;
const SKF_NET_OFF = -0x100000;

export const allTo = (index: number): BpfInstruction[] => [[RET_K, 0, 0, index]];

/** What a packet has to have: the value at a place, of which only the bits of `mask` count. */
interface Test {
  size: keyof typeof LD_ABS;
  /** From the beginning of the IP header. */
  at: number;
  mask?: number;
  equals: number;
}

/** `index` for a SYN that passes all tests, else what follows. A load beyond the end of a packet would end the program with 0. */
function when(tests: readonly Test[], index: number, otherwise: BpfInstruction[]): BpfInstruction[] {
  const length = tests.reduce((n, { mask }) => n + (mask === undefined ? 2 : 3), 0);
  const program: BpfInstruction[] = [];
  for (const { size, at, mask, equals } of tests) {
    program.push([LD_ABS[size], 0, 0, SKF_NET_OFF + at]);
    if (mask !== undefined) program.push([AND_K, 0, 0, mask]);
    program.push([JEQ_K, 0, length - program.length, equals]);
  }
  return [...program, ...allTo(index), ...otherwise];
}

/**
 * The IP version goes first: what follows lies elsewhere in the other one. Packets over loopback carry no IP options, so the ports follow
 * at once (RFC 791: 20 bytes, RFC 8200: 40).
 */
const V4 = { version: 0x40, source: 12, port: 20 } as const;
const V6 = { version: 0x60, source: 8, port: 40 } as const;
type Family = typeof V4 | typeof V6;

const isOf = ({ version }: Family): Test => ({ size: "byte", at: 0, mask: 0xf0, equals: version });

function isFrom(family: Family, address: Uint8Array): Test[] {
  const words = new DataView(Uint8Array.from(address).buffer);
  return Array.from({ length: words.byteLength / 4 }, (_, i) => ({
    size: "word",
    at: family.source + 4 * i,
    equals: words.getUint32(4 * i),
  }));
}

/** The bytes that a packet has of it: an IPv4-mapped address (::ffff:a.b.c.d) is spoken to in IPv4 packets. */
function inPackets(address: InetAddress): { family: Family; bytes: Uint8Array } {
  const bytes = hostBytes(address);
  if (bytes.length === 4) return { family: V4, bytes };
  const mapped = bytes.findIndex((b) => b !== 0) === 10 && bytes[10] === 0xff;
  return mapped ? { family: V4, bytes: bytes.subarray(12) } : { family: V6, bytes };
}

/** `index` for that source address and port alone. */
export function oneSourceTo(
  source: InetAddress,
  index: number,
  otherwise: BpfInstruction[],
): BpfInstruction[] {
  const { family, bytes } = inPackets(source);
  const port: Test = { size: "half", at: family.port, equals: source.port };
  return when([isOf(family), ...isFrom(family, bytes), port], index, otherwise);
}

/** So many source ports, from a multiple of it on: told apart by one mask. */
export const PROBE_PORTS = 64;
/** As curl --local-port takes it. */
export const portRange = (from: number) => `${from}-${from + PROBE_PORTS - 1}`;

/**
 * `index` for these source ports of this machine itself: of loopback, and of the address itself where the listener has a single one. No packet
 * from outside has such a source: the kernel drops it as a martian (Documentation/networking/ip-sysctl.rst, accept_local, route_localnet).
 */
export function ownPortsTo(
  from: number,
  listening: InetAddress,
  index: number,
  otherwise: BpfInstruction[],
): BpfInstruction[] {
  const port = (family: Family): Test => ({
    size: "half",
    at: family.port,
    mask: 0x10000 - PROBE_PORTS,
    equals: from,
  });
  const loopback4: Test = { size: "word", at: V4.source, mask: 0xff000000, equals: 0x7f000000 };
  const loopback6 = isFrom(V6, hostBytes({ family: "inet6", host: "::1", port: 0 }));
  const { family, bytes } = inPackets(listening);
  const isSingle = bytes.some((byte) => byte !== 0);
  const own = isSingle
    ? when([isOf(family), ...isFrom(family, bytes), port(family)], index, otherwise)
    : otherwise;
  const v6 = when([isOf(V6), ...loopback6, port(V6)], index, own);
  return when([isOf(V4), loopback4, port(V4)], index, v6);
}

let answer: boolean | undefined;

/** Asked of the kernel once. */
export function hasSelectors(): boolean {
  answer ??= probe();
  return answer;
}

function probe(): boolean {
  const fd = socket("inet");
  try {
    setFlag(fd, "reuseport");
    attachReuseportSelector(fd, allTo(0));
    return true;
  } catch {
    return false;
  } finally {
    close(fd);
  }
}
