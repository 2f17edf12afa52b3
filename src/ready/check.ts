/**
 * A readiness check: probes the new generation until it passes. It never gives up by itself (the generation's deadline ends it),
 * and reaches only the new generation if the listener makes that possible.
 *
 * A new check is a file beside this one, a line in `parseCheck` (parse.ts), and a row in the README.
 */
import type { Clock } from "../os/clock.ts";
import type { Sender } from "../os/libc.ts";
import type { Notification } from "../os/notify-socket.ts";
import type { ExitStatus } from "../os/spawn.ts";
import type { Listener } from "../sockets/held.ts";

export interface CheckContext {
  clock: Clock;
  /** The new generation's listeners, in the order of the binds. */
  listeners: readonly Listener[];
  /** What stands in the way at present and the way out, for the message when time runs out. */
  note(obstacle: string, hint?: string): void;
  /** Its first listener has answered a request in HTTP/1, without TLS. */
  answered(): void;
  /** Moves the deadline to this many milliseconds from now, if that is later than the present one. */
  extend(ms: number): void;
  /** Every line that it writes; for checks that need "output". */
  onLine(subscriber: (line: string) => void): Disposable;
  /** Every datagram to its NOTIFY_SOCKET, and the senders of those that do not count; for checks that need "notify". */
  onNotify(subscriber: (message: Notification) => void, ignored?: (sender: Sender) => void): Disposable;
  /** A shell line with its environment. */
  run(line: string): { exited: Promise<ExitStatus>; kill(): void };
}

/** What a check needs: a held socket to probe, the output, a NOTIFY_SOCKET. */
export type Need = "socket" | "output" | "notify";

export interface Check {
  /** As the user would write it. */
  readonly label: string;
  readonly needs: readonly Need[];
  /** Starts asking; calls `passed` once. Disposing ends it. */
  start(context: CheckContext, passed: () => void): Disposable;
}
