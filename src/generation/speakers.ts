/**
 * Which processes may notify for a generation: any process of the command's user or of root, and not only those of its tree, since
 * systemd-notify(1) is gone before it can be looked up. Behind gosu(1) or su-exec the command has a user that no option names, so the
 * users of all processes of its tree count, too.
 */
import type { Sender } from "../os/libc.ts";
import type { Os } from "../os/os.ts";
import type { Processes } from "./processes.ts";

/** For how long it is believed that a user has no process in the generation. */
const STRANGER_MS = 100;

export class Speakers {
  /** Users that sent notifications and have no process here, and until when that is believed. */
  readonly #strangers = new Map<number, number>();

  constructor(
    private readonly os: Os,
    private readonly processes: Processes,
  ) {}

  may({ uid }: Sender): boolean {
    if (uid === 0 || uid === this.processes.commandUid) return true;
    const now = this.os.clock.now();
    // Reading /proc takes milliseconds, and a stranger may send thousands.
    if ((this.#strangers.get(uid) ?? 0) > now) return false;
    if (this.processes.all().some((process) => this.os.uidOf(process) === uid)) return true;
    this.#strangers.set(uid, now + STRANGER_MS);
    return false;
  }
}
