/** What a NOTIFY_SOCKET takes, and from which process: the kernel names it. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { realClock } from "../../src/os/clock.ts";
import type { Sender } from "../../src/os/libc.ts";
import { type Notification, NotifySocket } from "../../src/os/notify-socket.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";

/** `script` has a socket `n` and the address `to`; returns the pid of what ran it. */
async function say({ path }: NotifySocket, script: string): Promise<number> {
  const start = `import os, socket, sys; n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); to = sys.argv[1].replace("@", "\\0"); `;
  const child = Bun.spawn([PYTHON, "-c", start + script, path], { stdio: ["ignore", "ignore", "inherit"] });
  expect(await child.exited).toBe(0);
  return child.pid;
}

describe.each(["in a directory", "abstract"])("%s", (where) => {
  const open = (trust: (sender: Sender) => boolean) => {
    const directory = tempDir();
    const socket = new NotifySocket(where === "abstract" ? undefined : directory.path, trust, realClock);
    const heard: Notification[] = [];
    const ignored: Sender[] = [];
    socket.subscribe(
      (message) => void heard.push(message),
      (sender) => void ignored.push(sender),
    );
    return {
      socket,
      heard,
      ignored,
      [Symbol.dispose]: () => {
        socket[Symbol.dispose]();
        directory[Symbol.dispose]();
      },
    };
  };

  test("names are different ones each time", () => {
    using one = open(() => true);
    using other = open(() => true);
    expect(one.socket.path).not.toBe(other.socket.path);
    expect(one.socket.path.startsWith("@")).toBe(where === "abstract");
  });

  test("the sender is the process that sent, and what it is not trusted with is not told", async () => {
    let isTrusted = false;
    const senders: Sender[] = [];
    using stage = open((sender) => {
      senders.push(sender);
      return isTrusted;
    });
    const pid = await say(stage.socket, `n.sendto(b"READY=1", to)`);
    await until(() => stage.ignored.length > 0, { what: "the first one" });
    expect(stage.heard).toEqual([]);
    expect(stage.ignored).toEqual(senders);
    expect(senders).toEqual([{ pid, uid: process.getuid?.() ?? 0 }]);
    isTrusted = true;
    await say(stage.socket, `n.sendto(b"READY=1\\nSTATUS=a=b\\nnonsense", to)`);
    await until(() => stage.heard.length > 0, { what: "the second one" });
    expect(stage.heard).toEqual([{ READY: "1", STATUS: "a=b" }]);
  });

  test("descriptors that are sent along stay nowhere", async () => {
    using stage = open(() => true);
    const openBefore = readdirSync("/proc/self/fd").length;
    const fds = `n.connect(to); socket.send_fds(n, [b"READY=1"], [os.open("/dev/null", 0) for _ in range(50)])`;
    for (let i = 0; i < 3; i++) await say(stage.socket, fds);
    await until(() => stage.heard.length === 3, { what: "the messages" });
    expect(readdirSync("/proc/self/fd").length).toBe(openBefore);
  });

  // Its last line could be half a one: READY=1 of READY=10.
  test("of a message that is too long nothing is told", async () => {
    using stage = open(() => true);
    await say(stage.socket, `n.sendto(b"READY=1\\n" + b"x" * 9000, to)`);
    await say(stage.socket, `n.sendto(b"STATUS=after", to)`);
    await until(() => stage.heard.some((m) => m.STATUS), { what: "the next one" });
    expect(stage.heard.some((m) => m.READY)).toBe(false);
  });
});
