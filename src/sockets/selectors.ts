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

/**
 * Compares the IP version, source address and source port of a SYN: `index` for the one source, `others` for all
 * else. The version goes first: a load beyond the end of a packet would end the program with 0.
 */
export function oneSourceTo(source: InetAddress, index: number, others: number): BpfInstruction[] {
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
  return [...program, ...allTo(index), ...allTo(others)];
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
