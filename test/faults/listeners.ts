/**
 * Faults that need no answer: a path that is not there, a listener that is gone, full or closed over a waiting request,
 * a server that closes with the request unread. Made with listeners that nobody accepts from.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "bun";
import type { FailureClass, Phase } from "../../src/load/outcome.ts";
import { bind, close, connect, getsockname, listen, socket } from "../../src/os/libc.ts";
import { decode, encode, type SocketAddress } from "../../src/sockets/sockaddr.ts";

export interface ListenerFault {
  class: FailureClass;
  phase: Phase;
  errno?: string;
  timeoutMs?: number;
  /** Sets it up; returns the target and what to do once requests are on their way. Everything is undone by dispose. */
  arrange(scene: Scene): { target: string; strike?: () => void };
}

/** Owns what a fault set up. */
export class Scene implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "hupwatch-scene-"));
  readonly #undo: (() => void)[] = [];

  after(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** A listener that nobody accepts from. Returns its descriptor; the kernel queues `backlog` + 1 connections. */
  listener(address: SocketAddress, backlog: number): number {
    const fd = socket(address.family === "inet" ? "inet" : "unix", "nonblocking");
    bind(fd, encode(address));
    listen(fd, backlog);
    return fd;
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.reverse()) undo();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Takes the connection, never reads, and closes once the request must be there: unix(7) makes that a reset. */
function closesUnread(scene: Scene, part: string) {
  const path = join(scene.folder, "unread.sock");
  const server = Bun.listen({
    unix: path,
    socket: {
      open(s: Socket<undefined>) {
        s.pause();
        if (part) s.write(part);
        setTimeout(() => s.terminate(), 20);
      },
      data() {},
    },
  });
  scene.after(() => server.stop(true));
  return { target: `unix:${path}` };
}

export const LISTENER_FAULTS: Record<string, ListenerFault> = {
  "path missing": {
    ...{ class: "connect-missing", phase: "connect", errno: "ENOENT" },
    arrange: (scene) => ({ target: `unix:${scene.folder}/none.sock` }),
  },
  "path of a dead server": {
    ...{ class: "connect-refused", phase: "connect", errno: "ECONNREFUSED" },
    arrange(scene) {
      const path = join(scene.folder, "dead.sock");
      close(scene.listener({ family: "unix", path }, 5));
      return { target: `unix:${path}` };
    },
  },
  "bound, not yet listening": {
    ...{ class: "connect-refused", phase: "connect", errno: "ECONNREFUSED" },
    arrange(scene) {
      const path = join(scene.folder, "bound.sock");
      const fd = socket("unix", "nonblocking");
      bind(fd, encode({ family: "unix", path }));
      scene.after(() => close(fd));
      return { target: `unix:${path}` };
    },
  },
  "a file below the path": {
    ...{ class: "connect-failed", phase: "connect", errno: "ENOTDIR" },
    arrange(scene) {
      writeFileSync(join(scene.folder, "file"), "");
      return { target: `unix:${scene.folder}/file/app.sock` };
    },
  },
  "full backlog": {
    ...{ class: "connect-backlog-full", phase: "connect", errno: "EAGAIN" },
    arrange(scene) {
      const path = join(scene.folder, "full.sock");
      const address = { family: "unix", path } as const;
      const fd = scene.listener(address, 0);
      const waiting = socket("unix", "nonblocking");
      connect(waiting, encode(address));
      scene.after(() => close(fd));
      scene.after(() => close(waiting));
      return { target: `unix:${path}` };
    },
  },
  "closed with the request in its queue": {
    ...{ class: "reset-before-byte", phase: "before-byte", errno: "ECONNRESET" },
    arrange(scene) {
      const path = join(scene.folder, "queue.sock");
      const fd = scene.listener({ family: "unix", path }, 64);
      return { target: `unix:${path}`, strike: () => close(fd) };
    },
  },
  "closed with the request unread": {
    ...{ class: "reset-before-byte", phase: "before-byte", errno: "ECONNRESET" },
    arrange: (scene) => closesUnread(scene, ""),
  },
  "half a body, then closed with the request unread": {
    ...{ class: "cut-body", phase: "body", errno: "ECONNRESET" },
    arrange: (scene) => closesUnread(scene, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
  },
  "TCP, nobody listens": {
    ...{ class: "connect-refused", phase: "connect", errno: "ECONNREFUSED" },
    arrange(scene) {
      const [fd, port] = tcpListener(scene, 1);
      close(fd);
      return { target: `http://127.0.0.1:${port}/` };
    },
  },
  "TCP, closed with the request in its queue": {
    ...{ class: "reset-before-byte", phase: "before-byte", errno: "ECONNRESET" },
    arrange(scene) {
      const [fd, port] = tcpListener(scene, 64);
      return { target: `http://127.0.0.1:${port}/`, strike: () => close(fd) };
    },
  },
  "TCP, full backlog": {
    // The kernel drops the SYN and the client's kernel asks again after a second: nothing happens.
    ...{ class: "connect-timeout", phase: "connect", timeoutMs: 300 },
    arrange(scene) {
      const [fd, port] = tcpListener(scene, 0);
      const address = encode({ family: "inet", host: "127.0.0.1", port });
      scene.after(() => close(fd));
      for (let i = 0; i < 2; i++) {
        const waiting = socket("inet", "nonblocking");
        connect(waiting, address);
        scene.after(() => close(waiting));
      }
      return { target: `http://127.0.0.1:${port}/` };
    },
  },
};

function tcpListener(scene: Scene, backlog: number): [fd: number, port: number] {
  const fd = scene.listener({ family: "inet", host: "127.0.0.1", port: 0 }, backlog);
  const address = decode(getsockname(fd));
  if (address.family !== "inet") throw new Error(`bound to ${address.family}`);
  return [fd, address.port];
}
