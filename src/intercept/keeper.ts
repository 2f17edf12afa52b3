/**
 * The keeper: the parent of an intercepted command, and the one that answers its trapped calls. It outlives hupwatch, since a
 * trapped call of a process whose keeper is gone fails; it has one loop that waits for ever, and no timer. It ends when no process
 * has one of its filters, and no hupwatch is connected.
 *
 * It is the subreaper of all that the command leaves behind: where kernel.yama.ptrace_scope is 1, only an ancestor may read the memory
 * of a process.
 */
import { fstatSync, lstatSync, unlinkSync } from "node:fs";
import { becomeSubreaper, close, peerCredentials, SystemError } from "../os/libc.ts";
import {
  accept,
  answerNotification,
  childEnds,
  drainSignals,
  isNotificationValid,
  NOTIFICATION_BYTES,
  type Received,
  receiveNotification,
  receiveWithDescriptors,
  sendWithDescriptors,
  sharedMemory,
  socketPair,
  startProgram,
  takeEnded,
  waitFor,
} from "../os/libc-intercept.ts";
import { format } from "../sockets/sockaddr.ts";
import { removeNames } from "../sockets/unix-path.ts";
import { answerTo } from "./answers.ts";
import { callOf, isKnownMachine } from "./calls.ts";
import { EventStream } from "./event-stream.ts";
import { type Charge, LetBe } from "./give.ts";
import { awaitFilter } from "./installed-filter.ts";
import { Notification } from "./notification.ts";
import {
  type HandedListener,
  type KeeperReply,
  type KeeperRequest,
  PACKET_BYTES_MAX,
  PROTOCOL,
} from "./protocol.ts";
import type { Given, RecordedOption } from "./table.ts";

const UNSENT_LOOK_MS = 100;
/** One page: the kernel's notification in hand, which another keeper would have to answer (see `memory`). */
export const CALL_MEMORY_BYTES = 4096;

/** The runtime collects garbage when its event loop turns, and the keeper's never does. */
const GARBAGE_CALLS = 500;
/** More than any server has workers. */
const MAX_BINDERS = 1000;

interface Kept extends Charge {
  readonly generation: number;
  readonly handed: readonly HandedListener[];
  /** Descriptors that only stay open. */
  readonly others: number[];
}

export interface KeeperStart {
  /** Where later hupwatches come in: a listening socket, and its path. */
  door: { fd: number; path: string } | undefined;
  /** To the hupwatch that started it. */
  connection: number;
  /** A memfd that the notification in hand is received into. */
  memory: number;
}

export class Keeper {
  readonly #memory: Uint8Array;
  readonly #inHand: DataView;
  readonly #received: Uint8Array;
  readonly #charges = new Map<number, Kept>();
  /** With those that have bound an address below each. */
  readonly #children = new Map<number, Set<number>>();
  readonly #signals: number;
  #answered = 0;
  #connection: number | undefined;
  readonly #events = new EventStream();
  #doorInode: number | undefined;

  constructor(private readonly start: KeeperStart) {
    becomeSubreaper();
    this.#signals = childEnds();
    this.#memory = sharedMemory(start.memory, CALL_MEMORY_BYTES);
    this.#received = this.#memory.subarray(0, NOTIFICATION_BYTES);
    this.#inHand = new DataView(this.#memory.buffer, this.#memory.byteOffset);
    this.#connection = start.connection;
    this.#doorInode = start.door && lstatSync(start.door.path, { throwIfNoEntry: false })?.ino;
  }

  /** Returns when there is nothing left to keep. */
  run(): void {
    while (this.#connection !== undefined || this.#charges.size > 0 || this.#children.size > 0) this.#turn();
    const { door } = this.start;
    if (door && lstatSync(door.path, { throwIfNoEntry: false })?.ino === this.#doorInode)
      unlinkSync(door.path);
  }

  #turn(): void {
    const fds = [this.#signals, ...this.#charges.keys()];
    if (this.#connection !== undefined) fds.push(this.#connection);
    if (this.start.door) fds.push(this.start.door.fd);
    for (const { fd, readable, ended } of waitFor(fds, this.#events.hasUnsent ? UNSENT_LOOK_MS : -1)) {
      const charge = this.#charges.get(fd);
      if (charge) {
        if (readable) this.#answer(charge);
        else if (ended) this.#release(charge);
      } else if (fd === this.#signals) this.#reap();
      else if (fd === this.#connection) this.#serve(fd);
      else if (fd === this.start.door?.fd) this.#admit(fd);
    }
    this.#events.flush();
  }

  #answer(charge: Kept): void {
    // Noted before: a keeper that goes on for us must know which call is in hand.
    this.#inHand.setUint32(NOTIFICATION_BYTES, charge.generation, true);
    if (receiveNotification(charge.notify, this.#received)) this.#answerInHand(charge);
  }

  /** From the shared memory, where it stays until it is answered. */
  #answerInHand(charge: Kept): void {
    const notification = new Notification(this.#inHand);
    const call = isKnownMachine(process.arch) ? callOf(notification.call, process.arch) : undefined;
    const answer = () => {
      if (!call) return "continue" as const;
      try {
        return answerTo(call, notification, charge);
      } catch (error) {
        if (!isNotificationValid(charge.notify, notification.id)) return "continue" as const;
        const what = error instanceof Error ? error.message : String(error);
        this.#events.tell({
          event: "trouble",
          generation: charge.generation,
          what: `${call.kind}: ${what}`.slice(0, 500),
        });
        if (error instanceof LetBe) return "continue" as const;
        // A bind that may have been about a held address must not happen anywhere else.
        return call.kind === "bind" || call.kind === "listen"
          ? ({ errno: "EIO" } as const)
          : ("continue" as const);
      }
    };
    answerNotification(charge.notify, notification.id, answer());
    this.#inHand.setBigUint64(0, 0n, true);
    if (++this.#answered % GARBAGE_CALLS === 0) Bun.gc(true);
  }

  /** No process has its filter any more. */
  #release({ generation, notify, given, others }: Kept): void {
    this.#charges.delete(notify);
    this.#events.tell({ event: "released", generation });
    for (const one of given) if (one.isLearned && !one.isListening) removeFiles(one);
    for (const fd of new Set([notify, ...given.map((g) => g.fd), ...others])) close(fd);
  }

  #reap(): void {
    drainSignals(this.#signals);
    for (let ended = takeEnded(); ended; ended = takeEnded()) {
      const { pid, status } = ended;
      if (!this.#children.delete(pid)) continue; // left behind by a command
      const signal = status & 0x7f;
      this.#events.tell({
        event: "exited",
        pid,
        ...(signal === 0 ? { code: (status >> 8) & 0xff } : { signal }),
      });
    }
  }

  /** A later hupwatch: of the same user or root, and instead of an earlier one. */
  #admit(door: number): void {
    const fd = accept(door);
    const { uid } = peerCredentials(fd);
    if (uid !== 0 && uid !== process.geteuid?.()) {
      close(fd);
      return;
    }
    if (this.#connection !== undefined) this.#disconnect();
    this.#connection = fd;
  }

  #disconnect(): void {
    if (this.#connection !== undefined) close(this.#connection);
    this.#connection = undefined;
    this.#events.end();
  }

  #serve(connection: number): void {
    let started: number | undefined;
    try {
      const received = receiveWithDescriptors(connection, PACKET_BYTES_MAX);
      if (received.bytes.length === 0) throw new SystemError("recvmsg", "ECONNRESET");
      if (!received.isWhole) throw new SystemError("recvmsg", "EMFILE");
      const { reply, fds = [] } = this.#obey(received);
      if ("child" in reply) started = reply.child;
      sendWithDescriptors(connection, Buffer.from(JSON.stringify(reply)), fds);
    } catch {
      // It has gone, or asks what cannot be understood: the command must not lose its keeper by it. No hupwatch knows
      // of what was started for it meanwhile.
      if (started !== undefined) process.kill(started, "SIGKILL");
      this.#disconnect();
    }
  }

  #obey({ bytes, fds }: Received): { reply: KeeperReply; fds?: number[] } {
    const request = JSON.parse(Buffer.from(bytes).toString()) as KeeperRequest;
    switch (request.do) {
      case "attach":
        return this.#attach(fds);
      case "adopt":
        return this.#adopt(request, fds);
      case "give":
        return { reply: this.#give(request, fds) };
      case "forget":
        return { reply: this.#forget(request) };
      case "take":
        return this.#take(request.inode);
      case "start":
        return this.#start(request, fds);
    }
  }

  #attach([events]: readonly number[]): { reply: KeeperReply; fds: number[] } {
    this.#events.open(events);
    const children = [...this.#children].map(([pid, binders]) => ({ pid, binders: [...binders] }));
    const kept = [...this.#charges.values()];
    const charges = kept.map(({ generation, given, others, learning }) => ({
      generation,
      listeners: given.map(({ address, alsoAt, ipv6Only, privatePath }) => ({
        ...{ address, alsoAt, ipv6Only, privatePath },
      })),
      others: others.length,
      learns: learning && { backlog: learning.backlog },
    }));
    const ofCharges = kept.flatMap(({ notify, given, others }) => [
      notify,
      ...given.map((g) => g.fd),
      ...others,
    ]);
    return {
      reply: { ok: true, protocol: PROTOCOL, pid: process.pid, children, charges },
      fds: [this.start.memory, ...ofCharges],
    };
  }

  /** Its children are not ours, and how they end is seen by hupwatch; their calls are answered here from now on. */
  #adopt(
    { generation, listeners, learns }: Extract<KeeperRequest, { do: "adopt" }>,
    [notify = -1, ...fds]: readonly number[],
  ): { reply: KeeperReply } {
    const learning = learns && { generation, backlog: learns.backlog, startedAtMs: 0 };
    const charge = this.#charge({ generation, notify, handed: listeners, learning }, fds, new Set());
    // It may have bound them all before we came.
    for (const given of charge.given) given.isBound = true;
    const isInHand =
      this.#inHand.getBigUint64(0, true) !== 0n &&
      this.#inHand.getUint32(NOTIFICATION_BYTES, true) === generation;
    if (isInHand) this.#answerInHand(charge);
    return { reply: { ok: true } };
  }

  /** Of a generation that is gone they are of no use. */
  #give(
    { generation, listeners }: Extract<KeeperRequest, { do: "give" }>,
    fds: readonly number[],
  ): KeeperReply {
    const charge = [...this.#charges.values()].find((c) => c.generation === generation);
    charge?.given.push(...givenOf(listeners, fds));
    charge?.others.push(...fds.slice(listeners.length));
    if (!charge) for (const fd of fds) close(fd);
    return { ok: true };
  }

  #forget({ generation, inodes }: Extract<KeeperRequest, { do: "forget" }>): KeeperReply {
    for (const charge of this.#charges.values()) {
      if (charge.generation !== generation) continue;
      const given = charge.given.filter((g) => inodes.includes(g.inode));
      const others = charge.others.filter((fd) => inodes.includes(fstatSync(fd).ino));
      for (const one of given) charge.given.splice(charge.given.indexOf(one), 1);
      for (const one of others) charge.others.splice(charge.others.indexOf(one), 1);
      for (const fd of new Set([...given.map((g) => g.fd), ...others])) close(fd);
    }
    return { ok: true };
  }

  #take(inode: number): { reply: KeeperReply; fds: number[] } {
    const kept = [...this.#charges.values()].flatMap(({ given, others }) => [
      ...given.map((g) => g.fd),
      ...others,
    ]);
    return { reply: { ok: true }, fds: kept.filter((fd) => fstatSync(fd).ino === inode).slice(0, 1) };
  }

  #start(
    request: Extract<KeeperRequest, { do: "start" }>,
    fds: readonly number[],
  ): { reply: KeeperReply; fds?: number[] } {
    const { descriptors, generation, listeners } = request;
    const [order = -1] = fds;
    // In the time of file systems: hupwatch has just written it.
    const startedAtMs = fstatSync(order).mtimeMs;
    const standard = fds.slice(1, 4);
    const passed = fds.slice(4, 4 + descriptors);
    const ofListeners = fds.slice(4 + descriptors, 4 + descriptors + listeners.length);
    const others = fds.slice(4 + descriptors + listeners.length);
    const [ours, theirs] = socketPair("packets");
    const theirEnd = once(() => close(theirs));
    try {
      const numbers = [...standard, ...passed, order, theirs];
      const words = [...request.helper, String(numbers.length - 2), String(numbers.length - 1)];
      const pid = startProgram(words, request.helperEnv, numbers);
      const binders = new Set<number>();
      this.#children.set(pid, binders);
      theirEnd.close();
      const { notify, noNewPrivileges } = awaitFilter(ours);
      const learning = request.learns && { generation, backlog: request.learns.backlog, startedAtMs };
      this.#charge({ generation, notify, handed: listeners, learning }, [...ofListeners, ...others], binders);
      return { reply: { ok: true, child: pid, noNewPrivileges }, fds: [notify] };
    } catch (error) {
      for (const fd of [...ofListeners, ...others]) close(fd);
      const { syscall, errno } =
        error instanceof SystemError ? error : { syscall: "start", errno: String(error) };
      return { reply: { ok: false, call: syscall, errno } };
    } finally {
      theirEnd.close();
      for (const fd of [order, ...standard, ...passed, ours]) close(fd);
    }
  }

  /** From now on its calls are answered. `fds`: its listeners, and others that only stay open. */
  #charge(
    about: Pick<Kept, "generation" | "notify" | "handed" | "learning">,
    fds: readonly number[],
    binders: Set<number>,
  ): Kept {
    const { generation, notify, handed } = about;
    const given = givenOf(handed, fds);
    const saw: Charge["saw"] = (event, { address, inode, isLearned, privatePath }, pid) => {
      const about = { generation, pid, address: format(address) };
      if (event === "listening") {
        this.#events.tell({
          event,
          ...about,
          inode,
          learned: isLearned,
          ...(privatePath ? { privatePath } : {}),
        });
        return;
      }
      // One line for each of them: workers that bind by themselves do it again and again.
      if (binders.has(pid)) return;
      if (binders.size < MAX_BINDERS) binders.add(pid);
      this.#events.tell({ event, ...about });
    };
    const isInUse: Charge["isInUse"] = ({ inode }) =>
      [...this.#charges.values()].some((c) => c.given.some((g) => g.inode === inode && g.isBound));
    const options = new Map<number, RecordedOption[]>();
    const others = fds.slice(handed.length);
    const givenToAny = () => [...this.#charges.values()].flatMap((c) => c.given);
    const letGo: Charge["letGo"] = (one) => {
      given.splice(given.indexOf(one), 1);
      removeFiles(one);
      close(one.fd);
    };
    const charge = { ...about, given, others, options, isInUse, givenToAny, letGo, saw };
    this.#charges.set(notify, charge);
    return charge;
  }
}

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

function once(act: () => void): { close(): void } {
  let isDone = false;
  return {
    close() {
      if (!isDone) act();
      isDone = true;
    },
  };
}
