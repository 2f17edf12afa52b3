/**
 * The listening Unix socket in the run directory: 0600, for the same user and root alone. It is opened under the instance
 * lock, so a socket that is there already belongs to a dead hupwatch of that name and is replaced. It knows connections
 * and their limits; what the requests mean is the routes' business.
 */
import type { Socket } from "bun";
import type { Clock } from "../os/clock.ts";
import { close, listen, socket as openSocket, peerCredentials } from "../os/libc.ts";
import { bindAlone, removeAlone } from "../sockets/private-listener.ts";
import { statOrUndefined } from "../sockets/unix-path.ts";
import { Connection } from "./connection.ts";
import type { Request } from "./request.ts";

const BACKLOG = 128;
/** Beyond this number the client that has been silent for longest is dropped, so that a new one always gets in. */
const MAX_CONNECTIONS = 512;
const LAST_FLUSH_MS = 500;
const FLUSH_POLL_MS = 5;

/** Without data: it was refused. */
type Client = Socket<Connection | undefined>;

export interface ControlSocketOptions {
  path: string;
  /** The user that may connect, besides root. */
  uid: number;
  clock: Clock;
  onRequest(request: Request, connection: Connection): void;
}

export class ControlSocket implements Disposable {
  #listener: { stop(closeActiveConnections?: boolean): void };
  #inode: number | undefined;
  readonly #connections = new Set<Connection>();

  /** Throws SystemError. */
  constructor(private readonly options: ControlSocketOptions) {
    this.#listener = this.#listen();
  }

  /** True where its file was gone, or another one; clients that are connected stay. Throws SystemError. */
  renew(): boolean {
    if (statOrUndefined(this.options.path)?.ino === this.#inode) return false;
    const before = this.#listener;
    this.#listener = this.#listen();
    before.stop();
    return true;
  }

  #listen() {
    const fd = openPrivately(this.options.path);
    this.#inode = statOrUndefined(this.options.path)?.ino;
    // By descriptor: the runtime's own `unix` would unlink the path when it stops, even if it belongs to another process by then.
    const listening = {
      fd,
      socket: {
        open: (client: Client) => this.#open(client),
        data: (client: Client, bytes: Uint8Array) => client.data?.receive(bytes),
        drain: (client: Client) => client.data?.flush(),
        close: (client: Client) => this.#closed(client.data),
        error: (client: Client) => client.terminate(),
      },
    };
    // The types do not know `fd` yet.
    return Bun.listen(listening as unknown as Bun.UnixSocketOptions<Connection>);
  }

  #open(socket: Client): void {
    const { uid, clock, onRequest } = this.options;
    if (!mayAsk(peerOf(socket), uid)) {
      socket.terminate();
      return;
    }
    if (this.#connections.size >= MAX_CONNECTIONS) this.#makeRoom();
    const isFull = this.#connections.size >= MAX_CONNECTIONS;
    const connection = new Connection(socket as Socket<Connection>, clock, isFull ? refuseAll : onRequest);
    socket.data = connection;
    this.#connections.add(connection);
  }

  /** A client that has sent its request stays until it is answered; clients that have sent nothing yet go, the oldest first. */
  #makeRoom(): void {
    for (const connection of this.#connections)
      if (connection.state !== "asked") {
        this.#connections.delete(connection);
        connection.terminate();
        return;
      }
  }

  #closed(connection: Connection | undefined): void {
    if (!connection) return;
    this.#connections.delete(connection);
    connection.closed();
  }

  /** Waits, not for long, until the answers are sent. */
  async flush(): Promise<void> {
    const { clock } = this.options;
    const until = clock.now() + LAST_FLUSH_MS;
    const isOpen = () => [...this.#connections].some((c) => !c.isFlushed);
    while (isOpen() && clock.now() < until) await Bun.sleep(FLUSH_POLL_MS);
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
    removeAlone(this.options.path);
  }
}

/** Only after the request is read: a socket that is closed with unread bytes is reset, and the client never sees the reason. */
const refuseAll = (_: Request, connection: Connection): void =>
  connection.refuse({ status: 503, reason: `${MAX_CONNECTIONS} clients wait already` });

/** root may do anything anyway. */
const mayAsk = (peer: number | undefined, uid: number): boolean => peer === uid || peer === 0;

function peerOf(socket: Client): number | undefined {
  try {
    return peerCredentials((socket as unknown as { fd: number }).fd).uid;
  } catch {
    return undefined;
  }
}

function openPrivately(path: string): number {
  const fd = openSocket("unix", "nonblocking");
  try {
    bindAlone(fd, path);
    listen(fd, BACKLOG);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}
