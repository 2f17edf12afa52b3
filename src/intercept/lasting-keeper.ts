/**
 * The keeper that is heard at present, and after it the next one: where it is killed or hangs, another one goes on for the same commands. The
 * calls wait meanwhile, since hupwatch holds their descriptors, too.
 */
import { close, connect, SystemError } from "../os/libc.ts";
import { anonymousFile, packetSocket, socketPair } from "../os/libc-intercept.ts";
import { type Identity, isSame, processOf } from "../os/procfs.ts";
import { encode } from "../sockets/sockaddr.ts";
import { KeeperConnection, REPLY_MS, type Told } from "./keeper-connection.ts";
import type { KeptCommands } from "./kept-commands.ts";
import { isKeeper } from "./kept-process.ts";
import { startKeeper } from "./programs.ts";
import { type KeeperRequest, PROTOCOL } from "./protocol.ts";

/** Between two tries to start another keeper; the pauses double. */
const RETRY_MS = 200;
const RETRY_MS_MAX = 10_000;

/** Of a request to a keeper that has ended. */
const IS_GONE = new Set(["EPIPE", "ECONNRESET"]);

/** How a keeper is started, and how long it is waited for: tests have others. */
export interface Means {
  launch: typeof startKeeper;
  replyMs: number;
}

export const MEANS: Means = { launch: startKeeper, replyMs: REPLY_MS };

export class LastingKeeper implements Disposable {
  #connection: KeeperConnection;
  /** Of the keeper that is heard at present. */
  #keeper: Identity | undefined;
  #isReplacing = false;
  #isOver = false;

  private constructor(
    connection: number,
    private readonly door: string | undefined,
    /** A memfd of the call in hand; of one that was found it comes with the first answer. */
    private memory: number | undefined,
    private readonly commands: KeptCommands,
    private readonly means: Means,
  ) {
    this.#connection = new KeeperConnection(connection, means.replyMs);
    try {
      this.#attach();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Throws HupwatchError and SystemError. */
  static start(door: string | undefined, commands: KeptCommands, means: Means): LastingKeeper {
    const memory = anonymousFile("hupwatch-call");
    return new LastingKeeper(means.launch(door, memory), door, memory, commands, means);
  }

  /** The one that an earlier hupwatch has left at this door; undefined where none answers. */
  static find(door: string, commands: KeptCommands): LastingKeeper | undefined {
    const fd = packetSocket();
    try {
      connect(fd, encode({ family: "unix", path: door }));
    } catch (error) {
      close(fd);
      if (error instanceof SystemError) return undefined;
      throw error;
    }
    try {
      return new LastingKeeper(fd, door, undefined, commands, MEANS);
    } catch (error) {
      if (error instanceof SystemError) return undefined;
      throw error;
    }
  }

  /** Hears from it. Of one that was found, what another one would need to go on comes with the answer. Throws SystemError. */
  #attach(): void {
    const connection = this.#connection;
    const [ours, theirs] = socketPair("stream");
    let told: Told;
    try {
      told = connection.ask({ do: "attach", protocol: PROTOCOL }, [theirs]);
    } catch (error) {
      close(ours);
      throw error;
    } finally {
      close(theirs);
    }
    const { reply, fds } = told;
    const [memory, ...ofCharges] = fds;
    if (this.memory === undefined) this.memory = memory;
    else if (memory !== undefined) close(memory);
    const pid = "children" in reply ? reply.pid : 0;
    this.#keeper = isKeeper(pid) ? processOf(pid) : undefined;
    this.commands.found(reply, ofCharges);
    connection.hear(
      ours,
      (event) => this.commands.hear(event),
      () => {
        if (this.#connection === connection) void this.#replace("was killed");
      },
    );
  }

  /** Where another one cannot be started now, it is tried again: the service goes on all the while, and so does hupwatch. */
  async #replace(why: string): Promise<void> {
    if (this.#isReplacing) return;
    this.#isReplacing = true;
    for (let pauseMs = RETRY_MS; !this.#isOver; pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)) {
      try {
        this.#startAnother(why);
        break;
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error);
        this.commands.trouble(`another keeper cannot be started, and is tried again: ${what}`);
        await Bun.sleep(pauseMs);
        // What is started meanwhile has brought one.
        if (this.#keeper) break;
      }
    }
    this.#isReplacing = false;
  }

  /** Throws SystemError. */
  #startAnother(why: string): void {
    const { means, door, commands, memory = -1 } = this;
    const old = this.#keeper;
    this.#keeper = undefined;
    this.#connection[Symbol.dispose]();
    // One that hangs would answer what the other one answers already.
    if (old && isSame(old)) process.kill(old.pid, "SIGKILL");
    commands.watchLeft();
    this.#connection = new KeeperConnection(means.launch(door, memory), means.replyMs);
    this.#attach();
    for (const { generation, notify, listeners, fds, learns } of commands.charges.all())
      this.#connection.ask({ do: "adopt", generation, listeners, learns }, [notify, ...fds]);
    commands.trouble(`the keeper ${why}: another one goes on`);
  }

  /** Throws SystemError: of a keeper that hangs, too, which is replaced. */
  ask(request: KeeperRequest, fds: readonly number[]): Told {
    try {
      return this.#connection.ask(request, fds);
    } catch (error) {
      if (error instanceof SystemError && error.errno === "ETIMEDOUT") void this.#replace("does not answer");
      throw error;
    }
  }

  /** One that was killed just now is replaced first. */
  askAnyOne(request: KeeperRequest, fds: readonly number[]): Told {
    try {
      return this.ask(request, fds);
    } catch (error) {
      if (!(error instanceof SystemError) || !IS_GONE.has(error.errno)) throw error;
      this.#startAnother("was killed");
      return this.ask(request, fds);
    }
  }

  /** Lets go of it. It goes on as long as there is a command to keep. */
  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection[Symbol.dispose]();
    if (this.memory !== undefined) close(this.memory);
  }
}
