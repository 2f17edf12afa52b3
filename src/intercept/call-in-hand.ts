/**
 * The trapped call that the keeper answers just now. It stands in memory that hupwatch has, too: where the keeper is killed meanwhile,
 * another one finds it there and answers it.
 */
import {
  type Answer,
  answerNotification,
  isNotificationValid,
  NOTIFICATION_BYTES,
  receiveNotification,
  sharedMemory,
} from "../os/libc-intercept.ts";
import { answerTo } from "./answers.ts";
import { type Call, callOf, isKnownMachine } from "./calls.ts";
import type { Kept } from "./charges.ts";
import { LetBe } from "./give.ts";
import { Notification } from "./notification.ts";
import type { KeeperEvent } from "./protocol.ts";

/** One page: the kernel's notification, and then the number of the generation that it is of. */
const MEMORY_BYTES = 4096;

/** The runtime collects garbage when its event loop turns, and the keeper's never does. */
const GARBAGE_CALLS = 500;

export class CallInHand {
  readonly #memory: DataView;
  readonly #received: Uint8Array;
  #answered = 0;

  /** `memory`: a memfd. */
  constructor(
    memory: number,
    private readonly tell: (event: KeeperEvent) => void,
  ) {
    const shared = sharedMemory(memory, MEMORY_BYTES);
    this.#received = shared.subarray(0, NOTIFICATION_BYTES);
    this.#memory = new DataView(shared.buffer, shared.byteOffset);
  }

  /** Takes the next one of that generation, and answers it. */
  take(charge: Kept): void {
    // Noted before: a keeper that goes on for us must know which call is in hand.
    this.#memory.setUint32(NOTIFICATION_BYTES, charge.generation, true);
    if (receiveNotification(charge.notify, this.#received)) this.#answer(charge);
  }

  /** Answers the one that another keeper had in hand, if it was of that generation. */
  resume(charge: Kept): void {
    const isOfIt = this.#memory.getUint32(NOTIFICATION_BYTES, true) === charge.generation;
    if (isOfIt && this.#memory.getBigUint64(0, true) !== 0n) this.#answer(charge);
  }

  #answer(charge: Kept): void {
    const notification = new Notification(this.#memory);
    const call = isKnownMachine(process.arch) ? callOf(notification.call, process.arch) : undefined;
    const answer = call ? this.#answerTo(call, notification, charge) : "continue";
    answerNotification(charge.notify, notification.id, answer);
    this.#memory.setBigUint64(0, 0n, true);
    if (++this.#answered % GARBAGE_CALLS === 0) Bun.gc(true);
  }

  #answerTo(call: Call, notification: Notification, charge: Kept): Answer {
    try {
      return answerTo(call, notification, charge);
    } catch (error) {
      if (!isNotificationValid(charge.notify, notification.id)) return "continue";
      const what = error instanceof Error ? error.message : String(error);
      this.tell({
        event: "trouble",
        generation: charge.generation,
        what: `${call.kind}: ${what}`.slice(0, 500),
      });
      if (error instanceof LetBe) return "continue";
      // A bind that may have been about a held address must not happen anywhere else.
      return call.kind === "bind" || call.kind === "listen" ? { errno: "EIO" } : "continue";
    }
  }
}
