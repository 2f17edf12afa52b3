/** The sender's side of sd_notify(3): one datagram to the supervisor's NOTIFY_SOCKET, a path or an abstract @name. */
import { plain } from "../text.ts";
import { SystemError, sendDatagram } from "./libc.ts";

const AF_UNIX = 1;

export type Notify = (...lines: string[]) => void;

/** Undefined where no supervisor wants notifications. One that does not listen any more is not our fault. */
export function notifierOf(socket: string | undefined): Notify | undefined {
  if (!socket || !/^[/@]./.test(socket)) return undefined;
  const address = addressOf(socket);
  return (...lines) => {
    try {
      // A line break in a text would begin an assignment of its own.
      const text = lines.map((line) => `${plain(line)}\n`).join("");
      sendDatagram(address, Buffer.from(text));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
  };
}

/** struct sockaddr_un; an abstract name begins with a zero byte and has none at its end. */
function addressOf(socket: string): Uint8Array {
  const path = Buffer.from(socket.startsWith("@") ? `\0${socket.slice(1)}` : `${socket}\0`);
  return Buffer.concat([Buffer.from([AF_UNIX, 0]), path]);
}
