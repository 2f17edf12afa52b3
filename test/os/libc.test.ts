/** The thin calls into libc: what they return, what they throw, and that the errno is that of this very call. */
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readlinkSync } from "node:fs";
import * as libc from "../../src/os/libc.ts";
import { encode } from "../../src/sockets/sockaddr.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";

const LOOPBACK = encode({ family: "inet", host: "127.0.0.1", port: 0 });
/** Never open: no process has so many. */
const CLOSED = 999_999;

function withSocket<T>(family: libc.Family, mode: "nonblocking" | undefined, use: (fd: number) => T): T {
  const fd = libc.socket(family, mode);
  try {
    return use(fd);
  } finally {
    libc.close(fd);
  }
}

describe("errors name the call and the errno", () => {
  const rows: [what: string, act: () => unknown, syscall: string, errno: string][] = [
    ["close", () => libc.close(CLOSED), "close", "EBADF"],
    ["getsockname", () => libc.getsockname(CLOSED), "getsockname", "EBADF"],
    ["listen", () => libc.listen(0, 1), "listen", "ENOTSOCK"],
    ["isListening", () => libc.isListening(CLOSED), "getsockopt", "EBADF"],
    ["dup", () => libc.dup(CLOSED), "fcntl(F_DUPFD_CLOEXEC)", "EBADF"],
    ["setFlag", () => libc.setFlag(CLOSED, "reuseport"), "setsockopt(SO_REUSEPORT)", "EBADF"],
    ["pidfdOpen", () => libc.pidfdOpen(CLOSED * 10), "pidfd_open", "ESRCH"],
    ["tryLock", () => libc.tryLock(CLOSED), "flock", "EBADF"],
    [
      "bind",
      () =>
        withSocket("inet", undefined, (fd) =>
          libc.bind(fd, encode({ family: "inet", host: "203.0.113.1", port: 1 })),
        ),
      "bind",
      "EADDRNOTAVAIL",
    ],
    [
      "connect",
      () =>
        withSocket("unix", "nonblocking", (fd) =>
          libc.connect(fd, encode({ family: "unix", path: "/no/such" })),
        ),
      "connect",
      "ENOENT",
    ],
    [
      "attachReuseportSelector",
      () => withSocket("inet", undefined, (fd) => libc.attachReuseportSelector(fd, [[0xffff, 0, 0, 0]])),
      "setsockopt(SO_ATTACH_REUSEPORT_CBPF)",
      "EINVAL",
    ],
  ];
  test.each(rows)("%s", (_, act, syscall, errno) => {
    let thrown: unknown;
    try {
      act();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(libc.SystemError);
    expect(thrown).toMatchObject({ syscall, errno });
    expect((thrown as Error).message).toMatch(new RegExp(`^.*: ${errno} \\(.+\\)$`));
  });
});

test("a listener listens, others do not", () => {
  withSocket("inet", undefined, (fd) => {
    expect(libc.isListening(fd)).toBe(false);
    libc.bind(fd, LOOPBACK);
    libc.listen(fd, 8);
    expect(libc.isListening(fd)).toBe(true);
  });
});

test("a whole exchange without waiting: connect, accept queue, send, receive, end", async () => {
  using dir = tempDir();
  const address = encode({ family: "unix", path: `${dir.path}/s` });
  using server = Bun.listen({
    unix: `${dir.path}/s`,
    socket: { data: (socket, bytes) => void socket.end(`got ${bytes}`) },
  });
  expect(server.unix).toBeString();
  await withSocketAsync("unix", async (fd) => {
    expect(libc.connect(fd, address)).toBe("connected");
    expect(libc.isWritable(fd)).toBe(true);
    expect(libc.socketError(fd)).toBeUndefined();
    expect(libc.peerCredentials(fd)).toMatchObject({ pid: process.pid, uid: process.getuid?.() as number });
    const buffer = new Uint8Array(64);
    expect(libc.recv(fd, buffer)).toBeUndefined();
    expect(libc.send(fd, new TextEncoder().encode("hello"))).toBe(5);
    await until(() => libc.isReadable(fd), { what: "the answer" });
    expect(new TextDecoder().decode(buffer.subarray(0, libc.recv(fd, buffer)))).toBe("got hello");
    await until(() => libc.recv(fd, buffer) === 0, { what: "the end" });
  });
});

async function withSocketAsync(family: libc.Family, use: (fd: number) => Promise<void>): Promise<void> {
  const fd = libc.socket(family, "nonblocking");
  try {
    await use(fd);
  } finally {
    libc.close(fd);
  }
}

test("a refused TCP connect is told by the socket's pending error", async () => {
  await withSocketAsync("inet", async (listener) => {
    libc.bind(listener, LOOPBACK);
    const address = libc.getsockname(listener);
    await withSocketAsync("inet", async (fd) => {
      expect(libc.connect(fd, address)).toBe("in-progress");
      await until(() => libc.isWritable(fd), { what: "the refusal" });
      expect(libc.socketError(fd)).toBe("ECONNREFUSED");
    });
  });
});

test("a full Unix backlog is EAGAIN and no refusal", () => {
  using dir = tempDir();
  const address = encode({ family: "unix", path: `${dir.path}/s` });
  withSocket("unix", undefined, (listener) => {
    libc.bind(listener, address);
    libc.listen(listener, 0);
    withSocket("unix", "nonblocking", (first) => {
      libc.connect(first, address);
      expect(libc.isReadable(listener)).toBe(true);
      withSocket("unix", "nonblocking", (second) => {
        expect(() => libc.connect(second, address)).toThrow("EAGAIN");
      });
    });
  });
});

test("a duplicate is numbered 10 or higher, so that 3 to 9 stay free for handing over", () => {
  withSocket("inet", undefined, (fd) => {
    const copy = libc.dup(fd);
    expect(copy).toBeGreaterThanOrEqual(10);
    expect(readlinkSync(`/proc/self/fd/${copy}`)).toBe(readlinkSync(`/proc/self/fd/${fd}`));
    libc.close(copy);
  });
});

test("a lock is had once", () => {
  using dir = tempDir();
  const [mine, theirs] = [openSync(dir.path, "r"), openSync(dir.path, "r")];
  expect(libc.tryLock(mine)).toBe(true);
  expect(libc.tryLock(theirs)).toBe(false);
  closeSync(mine);
  expect(libc.tryLock(theirs)).toBe(true);
  closeSync(theirs);
});

test("pidfd_getfd: a listener is taken out of another process and is the very same socket", () => {
  withSocket("inet", undefined, (fd) => {
    const pidfd = libc.pidfdOpen(process.pid);
    const taken = libc.pidfdGetfd(pidfd, fd);
    expect(taken).not.toBe(fd);
    expect(readlinkSync(`/proc/self/fd/${taken}`)).toBe(readlinkSync(`/proc/self/fd/${fd}`));
    for (const one of [pidfd, taken]) libc.close(one);
  });
});

test("a terminal is told from what is none", () => {
  // The other end of a terminal is one, too.
  for (const [path, expected] of [
    ["/dev/ptmx", true],
    ["/dev/null", false],
  ] as const) {
    const fd = openSync(path, "r+");
    expect(libc.isTerminal(fd)).toBe(expected);
    closeSync(fd);
  }
  expect(libc.isTerminal(CLOSED)).toBe(false);
});
