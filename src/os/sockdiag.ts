/**
 * The protocol of sock_diag(7), only here: requests to the kernel about one socket or all of a kind, and how its answers are read
 * (linux/sock_diag.h, unix_diag.h, inet_diag.h). socket-table.ts has the questions of the other rooms.
 */
import { AF, IPPROTO_TCP } from "./libc/numbers.ts";
import { close, openSockDiag, recv, SystemError, send } from "./libc.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;
/** Of TCP; Unix sockets have the same numbers (net/tcp_states.h). */
export const STATE = { established: 1, listen: 10 } as const;
const ALL_STATES = 0xffffffff;
const NO_COOKIE = 0xffffffff;
/** What is told of a Unix socket besides its number and state: the bit that asks for it, and the type of its attribute. */
const ATTRIBUTE = {
  name: { show: 0x01, type: 0 },
  /** Inode and device. */
  file: { show: 0x02, type: 1 },
  /** Its inode. */
  peer: { show: 0x04, type: 2 },
  queue: { show: 0x10, type: 4 },
} as const;
type Attribute = keyof typeof ATTRIBUTE;
/** struct nlmsghdr */
const HEADER_BYTES = 16;
/** struct unix_diag_msg; no message is shorter. */
const UNIX_MESSAGE_BYTES = 16;
/**
 * INET_DIAG_SKMEMINFO: numbers of 32 bits, of which the ninth (SK_MEMINFO_DROPS, since Linux 4.6) counts what the socket has dropped. Of a
 * listener that is what came while its accept queue was full, each try of a client by itself.
 */
const MEMORY = { show: 0x40, type: 7, dropsAt: 32, bytes: 36 } as const;
/** struct inet_diag_msg: four bytes, struct inet_diag_sockid, then five numbers. */
const INET = { endsAt: 4, endsBytes: 36, waitingAt: 56, inodeAt: 68, messageBytes: 72 } as const;
/** Some hundred sockets: what is done with one slice is one turn of the event loop. */
const SLICE_BYTES = 16 * 1024;
const ONE_BYTES = 4096;

export interface Endpoint {
  /** 4 or 16 bytes in network order. */
  host: Uint8Array;
  port: number;
}

/** Undefined where the kernel does not say, or has no such socket. `inode`: its number in /proc. */
export function unixSocket(inode: number, ...wanted: Attribute[]): UnixSocket | undefined {
  const view = unixQuestion(0, ALL_STATES, wanted);
  view.setUint32(24, inode, true);
  // No cookie: the inode alone names the socket.
  view.setUint32(32, NO_COOKIE, true);
  view.setUint32(36, NO_COOKIE, true);
  const answer = askOne(view);
  return answer && new UnixSocket(answer);
}

/** The one end of a connection whose `ends` these are, as `TcpSocket` has them or `endsOf` makes them. */
export function tcpSocket(family: "inet" | "inet6", ends: Uint8Array): TcpSocket | undefined {
  const view = tcpQuestion(0, family, ALL_STATES);
  new Uint8Array(view.buffer).set(ends, 24);
  view.setUint32(64, NO_COOKIE, true);
  view.setUint32(68, NO_COOKIE, true);
  const answer = askOne(view);
  return answer && answer.byteLength >= INET.messageBytes ? new TcpSocket(answer) : undefined;
}

/** The first fields of struct inet_diag_sockid: both ports, both addresses. */
export function endsOf(local: Endpoint, remote: Endpoint): Uint8Array {
  const view = new DataView(new ArrayBuffer(INET.endsBytes));
  const bytes = new Uint8Array(view.buffer);
  view.setUint16(0, local.port);
  view.setUint16(2, remote.port);
  bytes.set(local.host, 4);
  bytes.set(remote.host, 20);
  return bytes;
}

/**
 * Visits each Unix socket that is in one of these states, some hundred at a time, and returns whether these were all: false where the
 * kernel answers with an error. What is visited is only good until the visit ends.
 */
export const visitUnix = (
  states: readonly State[],
  wanted: readonly Attribute[],
  visit: (socket: UnixSocket) => void,
): Generator<void, boolean> =>
  exchange(unixQuestion(NLM_F_DUMP, bitsOf(states), wanted), SLICE_BYTES, (message) =>
    visit(new UnixSocket(message)),
  );

/** As `visitUnix`, of one family. The kernel itself leaves out what has another local port; 0 means all. */
export function visitTcp(
  family: "inet" | "inet6",
  port: number,
  states: readonly State[],
  visit: (socket: TcpSocket) => void,
): Generator<void, boolean> {
  const view = tcpQuestion(NLM_F_DUMP, family, bitsOf(states));
  view.setUint16(24, port); // network order
  return exchange(view, SLICE_BYTES, (message) => visit(new TcpSocket(message)));
}

type State = keyof typeof STATE;
const bitsOf = (states: readonly State[]): number =>
  states.reduce((bits, state) => bits | (1 << STATE[state]), 0);

/** struct unix_diag_msg and its attributes. */
export class UnixSocket {
  constructor(private readonly message: DataView) {}

  get inode(): number {
    return this.message.getUint32(4, true);
  }

  get state(): number {
    return this.message.getUint8(2);
  }

  /** What it was bound to, which lasts through a rename; an abstract name begins with NUL. Undefined where that was not asked for. */
  get name(): string | undefined {
    const value = this.#attribute("name");
    if (value === undefined) return undefined;
    const name = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
    // A path's name ends with the NUL of its C string.
    return name.startsWith("\0") ? name : name.replace(/\0+$/, "");
  }

  /** The lower 32 bits of the inode of the file that it was bound to, and that file's device as the kernel has it. */
  get file(): { ino: number; dev: number } | undefined {
    const value = this.#attribute("file", 8);
    return value && { ino: value.getUint32(0, true), dev: value.getUint32(4, true) };
  }

  /** Of a listener: connections that wait to be accepted. Of a connection: bytes that wait to be read. */
  get queue(): number | undefined {
    return this.#attribute("queue", 4)?.getUint32(0, true);
  }

  /** Of a connection: the other end's inode, 0 as long as that was not accepted. */
  get peer(): number | undefined {
    return this.#attribute("peer", 4)?.getUint32(0, true);
  }

  #attribute(name: Attribute, bytes = 0): DataView | undefined {
    return attributeOf(this.message, UNIX_MESSAGE_BYTES, ATTRIBUTE[name].type, bytes);
  }
}

/** The one of that type among those from `at` on (struct nlattr); undefined where there is none of at least so many bytes. */
function attributeOf(message: DataView, from: number, type: number, bytes: number): DataView | undefined {
  for (let at = from; at + 4 <= message.byteLength; ) {
    const length = message.getUint16(at, true);
    if (length < 4 || at + length > message.byteLength) return undefined;
    if (message.getUint16(at + 2, true) === type)
      return length < 4 + bytes
        ? undefined
        : new DataView(message.buffer, message.byteOffset + at + 4, length - 4);
    at += (length + 3) & ~3;
  }
  return undefined;
}

/** struct inet_diag_msg. */
export class TcpSocket {
  constructor(private readonly message: DataView) {}

  /** 0 for a connection that is not accepted yet. */
  get inode(): number {
    return this.message.getUint32(INET.inodeAt, true);
  }

  get state(): number {
    return this.message.getUint8(1);
  }

  get local(): Endpoint {
    const { message } = this;
    const host = new Uint8Array(message.buffer.slice(message.byteOffset + 8));
    return { host: host.subarray(0, message.getUint8(0) === AF.inet ? 4 : 16), port: message.getUint16(4) };
  }

  /** Both ports and addresses: what names it among all connections. */
  get ends(): Uint8Array {
    const at = this.message.byteOffset + INET.endsAt;
    return new Uint8Array(this.message.buffer.slice(at, at + INET.endsBytes));
  }

  /** Of a listener: connections that wait to be accepted. Of a connection: bytes that wait to be read. */
  get waiting(): number {
    return this.message.getUint32(INET.waitingAt, true);
  }

  /** Of a listener: tries to connect that found its accept queue full, since it was opened. Undefined where the kernel does not say. */
  get dropped(): number | undefined {
    const memory = attributeOf(this.message, INET.messageBytes, MEMORY.type, MEMORY.bytes);
    return memory?.getUint32(MEMORY.dropsAt, true);
  }
}

/** struct nlmsghdr, and the family that each request begins with. */
function questionOf(bytes: number, flags: number, family: number): DataView {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + bytes));
  view.setUint32(0, view.byteLength, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST | flags, true);
  view.setUint8(HEADER_BYTES, family);
  return view;
}

/** struct unix_diag_req. */
function unixQuestion(flags: number, states: number, wanted: readonly Attribute[]): DataView {
  const view = questionOf(24, flags, AF.unix);
  view.setUint32(20, states, true);
  view.setUint32(
    28,
    wanted.reduce((bits, name) => bits | ATTRIBUTE[name].show, 0),
    true,
  );
  return view;
}

/** struct inet_diag_req_v2. */
function tcpQuestion(flags: number, family: "inet" | "inet6", states: number): DataView {
  const view = questionOf(56, flags, AF[family]);
  view.setUint8(17, IPPROTO_TCP);
  view.setUint8(18, states === bitsOf(["listen"]) ? MEMORY.show : 0);
  view.setUint32(20, states, true);
  return view;
}

function askOne(question: DataView): DataView | undefined {
  let answer: DataView | undefined;
  const slices = exchange(question, ONE_BYTES, (message) => {
    answer ??= message;
  });
  slices.next();
  slices.return(true);
  return answer;
}

function* exchange(
  question: DataView,
  sliceBytes: number,
  visit: (message: DataView) => void,
): Generator<void, boolean> {
  try {
    const fd = openSockDiag();
    try {
      send(fd, new Uint8Array(question.buffer));
      return yield* readSlices(fd, new Uint8Array(sliceBytes), visit);
    } finally {
      close(fd);
    }
  } catch (error) {
    // A kernel without sock_diag, or a sandbox that forbids netlink: then it is not known.
    if (error instanceof SystemError) return false;
    throw error;
  }
}

function* readSlices(
  fd: number,
  buffer: Uint8Array,
  visit: (message: DataView) => void,
): Generator<void, boolean> {
  for (let length = recv(fd, buffer); length; length = recv(fd, buffer)) {
    const view = new DataView(buffer.buffer, 0, length);
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      if (type === NLMSG_DONE) return true;
      // An error message has another type.
      if (type !== SOCK_DIAG_BY_FAMILY || size < HEADER_BYTES + UNIX_MESSAGE_BYTES) return false;
      visit(new DataView(buffer.buffer, at + HEADER_BYTES, size - HEADER_BYTES));
      at += (size + 3) & ~3;
    }
    yield;
  }
  return true;
}
