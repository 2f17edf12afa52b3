/**
 * A readiness check: asks the new generation until it passes. It never gives up by itself (the generation's deadline
 * does) and never asks anybody but the new generation, where the listener makes that possible.
 *
 * A new check is a file beside this one, a line in `parseCheck`, and a row in the README.
 */
import { parseDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";
import type { Clock } from "../os/clock.ts";
import type { Notification } from "../os/notify-socket.ts";
import type { ExitStatus } from "../os/spawn.ts";
import type { Listener } from "../sockets/held.ts";
import { connectCheck } from "./connect.ts";
import { delayCheck } from "./delay.ts";
import { execCheck } from "./exec.ts";
import { anyAnswer, httpCheck } from "./http.ts";
import { lineCheck } from "./line.ts";
import { notifyCheck } from "./notify.ts";

export interface CheckContext {
  clock: Clock;
  /** The new generation's listeners, in the order of the binds. */
  listeners: readonly Listener[];
  /** What stands in the way at present and the way out, for the message when time runs out. */
  note(obstacle: string, hint?: string): void;
  /** Grants so many milliseconds from now on, if that is later than the present deadline. */
  extend(ms: number): void;
  /** Every line that it writes; for checks that need "output". */
  onLine(ear: (line: string) => void): Disposable;
  /** Every datagram to its NOTIFY_SOCKET; for checks that need "notify". */
  onNotify(ear: (message: Notification) => void): Disposable;
  /** A shell line with its environment. */
  run(line: string): { exited: Promise<ExitStatus>; kill(): void };
}

/** What a check cannot work without: a held socket to ask, a look at the output, a NOTIFY_SOCKET. */
export type Need = "socket" | "output" | "notify";

export interface Check {
  /** As the user would write it. */
  readonly label: string;
  readonly needs: readonly Need[];
  /** Starts asking; calls `passed` once. Disposing ends it. */
  start(context: CheckContext, passed: () => void): Disposable;
}

/** `/path`, `//host` or `//host/path`: nothing that could end the request's lines. */
const HTTP_TARGET = /^(?=.)(\/\/[\w.:[\]-]+)?(\/(?!\/)\S*)?$/;

const CHECK_FORMS = "http, http:/path, http://HOST/path, connect, notify, line:REGEX, exec:CMD, delay:SEC";

/** What a server is asked where the user asks for nothing: `http`, where any sign of life will do, or `connect`. */
export const defaultCheck = (kind: "http" | "connect"): Check =>
  kind === "http" ? anyAnswer() : connectCheck();

/** Throws a usage error that names the value. */
export function parseCheck(text: string): Check {
  const [, kind = text, argument] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  switch (kind) {
    case "http":
      if (argument === undefined || HTTP_TARGET.test(argument)) return httpCheck(argument);
      break;
    case "connect":
      if (argument === undefined) return connectCheck();
      break;
    case "notify":
      if (argument === undefined) return notifyCheck();
      break;
    case "line":
      if (argument) return lineCheck(argument);
      break;
    case "exec":
      if (argument) return execCheck(argument);
      break;
    case "delay":
      if (argument) return delayCheck(parseDuration(argument, `--ready ${text}`));
      break;
  }
  throw new HupwatchError("check.invalid", `--ready '${text}' is not a readiness check`, {
    hint: `use one of ${CHECK_FORMS}`,
  });
}
