/** The sender's side of sd_notify(3): one datagram to the supervisor's NOTIFY_SOCKET, a path or an abstract @name. */
import { plain } from "../text.ts";
import { SystemError, sendDatagram } from "./libc.ts";

export type Notify = (...lines: string[]) => void;

/** Undefined where no supervisor wants notifications. One that does not listen any more is not our fault. */
export function notifierOf(socket: string | undefined): Notify | undefined {
  if (!socket || !/^[/@]./.test(socket)) return undefined;
  return (...lines) => {
    try {
      // A line break in a text would begin an assignment of its own.
      const text = lines.map((line) => `${plain(line)}\n`).join("");
      sendDatagram(socket, Buffer.from(text));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
  };
}
