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
  type Received,
  receiveWithDescriptors,
  sendWithDescriptors,
  waitFor,
} from "../os/libc-intercept.ts";
import { CallInHand } from "./call-in-hand.ts";
import { Charges } from "./charges.ts";
import { EventStream } from "./event-stream.ts";
import { KeptChildren } from "./kept-children.ts";
import { type KeeperReply, type KeeperRequest, PACKET_BYTES_MAX, PROTOCOL } from "./protocol.ts";

const UNSENT_LOOK_MS = 100;

export interface KeeperStart {
  /** Where later hupwatches come in: a listening socket, and its path. */
  door: { fd: number; path: string } | undefined;
  /** To the hupwatch that started it. */
  connection: number;
  /** A memfd that the notification in hand is received into. */
  memory: number;
}

/** With the descriptors that go beside it. */
interface Replied {
  reply: KeeperReply;
  fds?: readonly number[];
}

const DONE: Replied = { reply: { ok: true } };

export class Keeper {
  readonly #events = new EventStream();
  readonly #children: KeptChildren;
  readonly #charges: Charges;
  readonly #call: CallInHand;
  #connection: number | undefined;
  #doorInode: number | undefined;

  constructor(private readonly start: KeeperStart) {
    becomeSubreaper();
    const tell: EventStream["tell"] = (event) => this.#events.tell(event);
    this.#children = new KeptChildren(tell);
    this.#charges = new Charges(tell);
    this.#call = new CallInHand(start.memory, tell);
    this.#connection = start.connection;
    this.#doorInode = start.door && lstatSync(start.door.path, { throwIfNoEntry: false })?.ino;
  }

  /** Returns when there is nothing left to keep. */
  run(): void {
    while (this.#connection !== undefined || !this.#charges.isEmpty || !this.#children.isEmpty) this.#turn();
    const { door } = this.start;
    if (door && lstatSync(door.path, { throwIfNoEntry: false })?.ino === this.#doorInode)
      unlinkSync(door.path);
  }

  #turn(): void {
    const fds = [this.#children.ends, ...this.#charges.filters];
    if (this.#connection !== undefined) fds.push(this.#connection);
    if (this.start.door) fds.push(this.start.door.fd);
    for (const { fd, readable, ended } of waitFor(fds, this.#events.hasUnsent ? UNSENT_LOOK_MS : -1)) {
      const charge = this.#charges.get(fd);
      if (charge) {
        if (readable) this.#call.take(charge);
        else if (ended) this.#charges.release(charge);
      } else if (fd === this.#children.ends) this.#children.reap();
      else if (fd === this.#connection) this.#serve(fd);
      else if (fd === this.start.door?.fd) this.#admit(fd);
    }
    this.#events.flush();
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

  #obey({ bytes, fds }: Received): Replied {
    const request = JSON.parse(Buffer.from(bytes).toString()) as KeeperRequest;
    switch (request.do) {
      case "attach":
        return this.#attach(fds);
      case "adopt":
        return this.#adopt(request, fds);
      case "give":
        this.#charges.give(request, fds);
        return DONE;
      case "forget":
        this.#charges.forget(request);
        return DONE;
      case "take":
        return this.#take(request.inode);
      case "start":
        return this.#start(request, fds);
    }
  }

  #attach([events]: readonly number[]): Replied {
    this.#events.open(events);
    const { charges, fds } = this.#charges.describe();
    const children = this.#children.describe();
    return {
      reply: { ok: true, protocol: PROTOCOL, pid: process.pid, children, charges },
      fds: [this.start.memory, ...fds],
    };
  }

  /** Its children are not ours, and how they end is seen by hupwatch; their calls are answered here from now on. */
  #adopt(
    { generation, listeners, learns }: Extract<KeeperRequest, { do: "adopt" }>,
    [notify = -1, ...fds]: readonly number[],
  ): Replied {
    const learning = learns && { generation, backlog: learns.backlog, startedAtMs: 0 };
    const charge = this.#charges.add({ generation, notify, learning }, { listeners, fds }, new Set());
    // It may have bound them all before we came.
    for (const given of charge.given) given.isBound = true;
    this.#call.resume(charge);
    return DONE;
  }

  #take(inode: number): Replied {
    const found = this.#charges.descriptorOf(inode);
    return { reply: { ok: true }, fds: found === undefined ? [] : [found] };
  }

  #start(request: Extract<KeeperRequest, { do: "start" }>, fds: readonly number[]): Replied {
    const { descriptors, generation, listeners, learns } = request;
    const [order = -1, ...rest] = fds;
    // In the time of file systems: hupwatch has just written it.
    const startedAtMs = fstatSync(order).mtimeMs;
    const passed = rest.slice(0, 3 + descriptors);
    const kept = rest.slice(3 + descriptors);
    try {
      const { pid, notify, noNewPrivileges, binders } = this.#children.start(request, order, passed);
      const learning = learns && { generation, backlog: learns.backlog, startedAtMs };
      this.#charges.add({ generation, notify, learning }, { listeners, fds: kept }, binders);
      return { reply: { ok: true, child: pid, noNewPrivileges }, fds: [notify] };
    } catch (error) {
      for (const fd of kept) close(fd);
      const { syscall, errno } =
        error instanceof SystemError ? error : { syscall: "start", errno: String(error) };
      return { reply: { ok: false, call: syscall, errno } };
    } finally {
      for (const fd of [order, ...passed]) close(fd);
    }
  }
}
