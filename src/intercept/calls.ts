/**
 * Which system calls are trapped, with their numbers on the two machines that we know, and where they carry what we want.
 * Numbers: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h. Pure.
 */
import type { BpfInstruction } from "../os/libc.ts";

/** What a trapped call does; several calls do the same thing in different ways. */
export type CallKind = "bind" | "listen" | "connect" | "setsockopt" | "unlink" | "rename" | "chmod" | "chown";

export interface PathArgument {
  directory?: number;
  at: number;
}

export interface Call {
  kind: CallKind;
  /** Its number, by machine; undefined where that machine has no such call. */
  number: { x64: number; arm64?: number };
  /** Of calls on paths: which argument is the directory's descriptor, if any, and which is the path. */
  path?: PathArgument;
  /** rename: the new path. */
  to?: PathArgument;
  /** chmod: the mode. chown: the uid, and the gid behind it. */
  value?: number;
  /** unlinkat(2), renameat2(2): where its flags are. */
  flags?: number;
}

export const CALLS = {
  bind: { kind: "bind", number: { x64: 49, arm64: 200 } },
  listen: { kind: "listen", number: { x64: 50, arm64: 201 } },
  connect: { kind: "connect", number: { x64: 42, arm64: 203 } },
  setsockopt: { kind: "setsockopt", number: { x64: 54, arm64: 208 } },
  unlink: { kind: "unlink", number: { x64: 87 }, path: { at: 0 } },
  unlinkat: { kind: "unlink", number: { x64: 263, arm64: 35 }, path: { directory: 0, at: 1 }, flags: 2 },
  rename: { kind: "rename", number: { x64: 82 }, path: { at: 0 }, to: { at: 1 } },
  renameat: {
    kind: "rename",
    number: { x64: 264, arm64: 38 },
    path: { directory: 0, at: 1 },
    to: { directory: 2, at: 3 },
  },
  renameat2: {
    kind: "rename",
    number: { x64: 316, arm64: 276 },
    path: { directory: 0, at: 1 },
    to: { directory: 2, at: 3 },
    flags: 4,
  },
  chmod: { kind: "chmod", number: { x64: 90 }, path: { at: 0 }, value: 1 },
  fchmodat: { kind: "chmod", number: { x64: 268, arm64: 53 }, path: { directory: 0, at: 1 }, value: 2 },
  fchmodat2: { kind: "chmod", number: { x64: 452, arm64: 452 }, path: { directory: 0, at: 1 }, value: 2 },
  chown: { kind: "chown", number: { x64: 92 }, path: { at: 0 }, value: 1 },
  lchown: { kind: "chown", number: { x64: 94 }, path: { at: 0 }, value: 1 },
  fchownat: { kind: "chown", number: { x64: 260, arm64: 54 }, path: { directory: 0, at: 1 }, value: 2 },
} as const satisfies Record<string, Call>;

/** What a generation has trapped: calls on paths only where it may have a Unix socket. */
export type Traps = "ports" | "ports and paths";

/**
 * Options that must be known before a socket is replaced, by level and name: one decides which addresses it takes, the others
 * are inherited by its connections. TCP_NODELAY and SO_KEEPALIVE, which servers set on each connection anyway, would cost each of them a
 * round trip. socket(7), tcp(7), ipv6(7).
 */
export const RECORDED_OPTIONS = [
  { level: 41, option: 26, name: "IPV6_V6ONLY" },
  { level: 1, option: 7, name: "SO_SNDBUF" },
  { level: 1, option: 8, name: "SO_RCVBUF" },
  { level: 6, option: 9, name: "TCP_DEFER_ACCEPT" },
  { level: 6, option: 23, name: "TCP_FASTOPEN" },
] as const;

export const V6ONLY = RECORDED_OPTIONS[0];

type Machine = "x64" | "arm64";

/** AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 of linux/audit.h */
const ARCHITECTURE: Record<Machine, number> = { x64: 0xc000003e, arm64: 0xc00000b7 };

export const isKnownMachine = (arch: string): arch is Machine => arch in ARCHITECTURE;

export const callOf = (number: number, machine: Machine): Call | undefined =>
  Object.values<Call>(CALLS).find((call) => call.number[machine] === number);

const LD = 0x20;
const JEQ = 0x15;
const RET = 0x06;
const USER_NOTIF = 0x7fc00000;
const ALLOW = 0x7fff0000;
/** struct seccomp_data */
const NUMBER_AT = 0;
const ARCHITECTURE_AT = 4;
const argumentAt = (index: number): number => 16 + 8 * index;

/** An IPv4 or IPv6 address has one of these lengths: such a connect is a client's, and is let through unseen. */
const INET_LENGTHS = [16, 28];

/**
 * The filter: what is not named goes on at once. A program of another architecture (32-bit) goes on unseen. `unixLengths`: of held
 * paths whose address happens to be as long as an IPv4 or IPv6 one.
 */
export function filterFor(
  traps: Traps,
  machine: Machine,
  unixLengths: readonly number[] = [],
): BpfInstruction[] {
  const paths = traps === "ports and paths";
  const wanted = Object.values<Call>(CALLS).filter(
    ({ kind }) => paths || kind === "bind" || kind === "listen" || kind === "setsockopt",
  );
  const blocks = wanted.flatMap((call) => {
    const number = call.number[machine];
    return number === undefined ? [] : [[number, testsOf(call, unixLengths)] as const];
  });
  const program: BpfInstruction[] = [
    [LD, 0, 0, ARCHITECTURE_AT],
    [JEQ, 1, 0, ARCHITECTURE[machine]],
    [RET, 0, 0, ALLOW],
  ];
  for (const [number, tests] of blocks) {
    program.push([LD, 0, 0, NUMBER_AT], [JEQ, 0, tests.length + 1, number], ...tests, [
      RET,
      0,
      0,
      USER_NOTIF,
    ]);
  }
  return [...program, [RET, 0, 0, ALLOW]];
}

/** What must hold besides the number; each falls through to the notification, or ends with ALLOW. */
function testsOf(call: Call, unixLengths: readonly number[]): BpfInstruction[] {
  if (call.kind === "connect") {
    const free = INET_LENGTHS.filter((length) => !unixLengths.includes(length));
    return [[LD, 0, 0, argumentAt(2)], ...free.flatMap(allowIf)];
  }
  if (call.kind === "setsockopt") {
    // Each pair: level and name both, else on to the next pair; after the last one ALLOW.
    const pairs = RECORDED_OPTIONS.flatMap(({ level, option }, i): BpfInstruction[] => [
      [LD, 0, 0, argumentAt(1)],
      [JEQ, 0, 2, level],
      [LD, 0, 0, argumentAt(2)],
      [JEQ, 4 * (RECORDED_OPTIONS.length - 1 - i) + 1, 0, option],
    ]);
    return [...pairs, [RET, 0, 0, ALLOW]];
  }
  return [];
}

const allowIf = (value: number): BpfInstruction[] => [
  [JEQ, 0, 1, value],
  [RET, 0, 0, ALLOW],
];
