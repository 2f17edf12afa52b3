/** What speaks for a generation is known from the kernel: notifications, marks in the environment, survivors. */
import { describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync } from "node:fs";
import type { StatusAnswer } from "../../src/control/protocol.ts";
import { asUser } from "../harness/another-user.ts";
import { cli, home } from "../harness/cli.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { LOG } from "../harness/log-lines.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";
import { APP, ground, hasPeople, pythonAs, ROOT_USER, SERVER, STRANGER, startAs } from "./people.ts";

/** Says READY=1 in generation 1, and in later ones where its first word is "ready"; then serves. */
const NOTIFIER = `
import os, socket, sys, time
if os.environ["HUPWATCH_GENERATION"] != "1" and sys.argv[1] != "ready":
    time.sleep(1000)
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
${SERVER}`;

/** Says READY=1 to every abstract socket of a hupwatch, without a pause. */
const LIAR = `
import socket
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n.setblocking(False)
print("lies", flush=True)
while True:
    for row in open("/proc/net/unix", errors="replace"):
        at = row.find("@hupwatch-")
        if at >= 0:
            try: n.sendto(b"READY=1\\nEXTEND_TIMEOUT_USEC=9000000", "\\0" + row[at + 1:].rstrip("\\n"))
            except OSError: pass
`;

describe.skipIf(!hasPeople)("notifications", () => {
  const words = (place: { path: string }, readyMs: number, ...command: string[]) => [
    ...["-k", "-w", "0", "--ready", "notify", "--ready-timeout", `${readyMs}ms`],
    ...["-b", `unix:${place.path}/app.sock`, "--", ...command],
  ];
  const asNobody = ["--user", "nobody"];

  test("F5: a stranger's READY=1 does not make a broken release serve, and the reason names the stranger", async () => {
    using place = ground();
    const server = place.file("server.py", APP, NOTIFIER);
    const options = [...asNobody, ...words(place, 5000, PYTHON, server, "never")];
    await using hupwatch = await startHupwatch(options, { cwd: place.path });
    await using liar = startAs(STRANGER, [PYTHON, "-c", LIAR]);
    expect(await liar.said()).toStartWith("lies");
    hupwatch.hup();
    const [said] = await hupwatch.until(/rolled back: .*/);
    expect(said).toMatch(
      /not ready within 5\.00 s \(notify: .*ignored: a message of process \d+, user 12345\)/,
    );
    expect(hupwatch.log).not.toMatch(LOG.serves(2));
  });

  test("F5: root's READY=1 counts, and so does that of a process of the command's user that is gone at once", async () => {
    using place = ground();
    const server = place.file("server.py", APP, NOTIFIER);
    const options = [...asNobody, ...words(place, 20_000, PYTHON, server, "never")];
    await using hupwatch = await startHupwatch(options, { cwd: place.path });
    for (const [person, generation] of [
      [APP, 2],
      [ROOT_USER, 3],
    ] as const) {
      hupwatch.hup();
      await hupwatch.until(LOG.started(generation));
      const [, pid] = LOG.started(generation).exec(hupwatch.log) ?? [];
      const address = await until(() => notifyAddress(Number(pid)), { what: "NOTIFY_SOCKET" });
      const say = `import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", "\\0" + sys.argv[1])`;
      pythonAs(person, say, address.slice(1));
      await hupwatch.until(LOG.retired(generation - 1));
    }
  });

  test("a command that becomes another user by itself speaks for itself", async () => {
    using place = ground();
    const server = place.file("server.py", APP, NOTIFIER);
    // As gosu(1) does it.
    const options = words(place, 20_000, ...asUser(STRANGER, [PYTHON, server, "ready"]));
    await using hupwatch = await startHupwatch(options, { cwd: place.path });
    await hupwatch.swap(2);
  });

  test("F6: a stranger that has taken the names of 0.1.0 does not stop a deploy", async () => {
    using place = ground();
    const server = place.file("server.py", APP, NOTIFIER);
    const options = [...asNobody, ...words(place, 20_000, PYTHON, server, "ready")];
    await using hupwatch = await startHupwatch(options, { cwd: place.path });
    const squat = `import socket, sys, time
names = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2, 30)]
for i, s in enumerate(names): s.bind("\\0hupwatch-notify-%s-%d" % (sys.argv[1], i + 2))
print("taken", flush=True); time.sleep(1000)`;
    await using squatter = startAs(STRANGER, [PYTHON, "-c", squat, `${hupwatch.pid}`]);
    expect(await squatter.said()).toStartWith("taken");
    await hupwatch.swap(2);
  });
});

function notifyAddress(pid: number): string | undefined {
  const { stdout } = Bun.spawnSync(["cat", `/proc/${pid}/environ`], { stderr: "ignore" });
  return /(?:^|\0)NOTIFY_SOCKET=(@[^\0]+)/.exec(stdout.toString())?.[1];
}

describe.skipIf(!hasPeople)("marks in an environment", () => {
  const marks = (pid: number, generation: number) => ({
    HUPWATCH_PID: `${pid}`,
    HUPWATCH_GENERATION: `${generation}`,
  });

  test("F27: a stranger's count neither in the status nor in the takedown, set-user-ID programs of root's included", async () => {
    using place = ground();
    using runtime = home();
    const server = place.file("server.py", APP, SERVER);
    const sleep = `${place.path}/sleep`;
    copyFileSync("/bin/sleep", sleep);
    chmodSync(sleep, 0o4755);
    const options = ["-k", "-w", "0", "--name", "marked", "--user", "nobody", "--ready", "http"];
    const words = [...options, "-b", `unix:${place.path}/app.sock`, "--", PYTHON, server];
    await using hupwatch = await startHupwatch(words, { cwd: place.path, env: runtime.env });
    const processes = async () => {
      const { stdout } = await cli(["status", "marked", "--json"], runtime);
      return (JSON.parse(stdout) as StatusAnswer[])[0]?.generations[0]?.processes;
    };
    const before = await processes();
    const env = marks(hupwatch.pid, 1);
    await using _plain = startAs(STRANGER, ["sleep", "1000"], env);
    await using _rooted = startAs(STRANGER, [sleep, "1000"], env);
    await until(() => isMarked(_rooted.pid) && isMarked(_plain.pid), { what: "the marked processes" });
    expect(await processes()).toBe(before);
    hupwatch.signal("SIGTERM");
    expect(await hupwatch.exited).toBe(0);
    // Nothing has waited for them either, which is said when it is over.
    expect(hupwatch.log).not.toContain("would not end");
    expect(isMarked(_plain.pid) && isMarked(_rooted.pid)).toBe(true);
  });
});

function isMarked(pid: number): boolean {
  const { stdout } = Bun.spawnSync(["sh", "-c", `cat /proc/${pid}/environ; cat /proc/${pid}/comm`]);
  return stdout.includes("HUPWATCH_PID=") && stdout.toString().endsWith("sleep\n");
}

describe.skipIf(!hasPeople)("survivors", () => {
  test.each([
    ["a stranger's process", STRANGER],
    ["a process of the command's user without a listener of the address", APP],
  ])(
    "F18: %s with the right environment is not taken over: a start that fails says so",
    async (_, person) => {
      using place = ground();
      const server = place.file("server.py", APP, SERVER);
      const options = ["--name", "tk", "--user", "nobody", "--ready", "http", "--ready-timeout", "5s"];
      const bind = ["-b", `unix:${place.path}/app.sock`];
      await using lives = new Lives([...options, ...bind, "--", PYTHON, server], { cwd: place.path });
      const first = await lives.start();
      const [, leader] = LOG.started(1).exec(first.log) ?? [];
      first.signal("SIGKILL");
      await first.exited;
      process.kill(Number(leader), "SIGKILL");
      await until(() => first.tree().every(({ state }) => state === "Z"), { what: "the service to be gone" });

      const env = { HUPWATCH_PID: `${first.pid}`, HUPWATCH_NAME: "tk", HUPWATCH_GENERATION: "77" };
      await using marked = startAs(person, ["sleep", "1000"], env);
      await until(() => isMarked(marked.pid), { what: "the marked process" });
      const second = lives.spawn([...options, ...bind, "--", "sh", "-c", "exit 3"]);
      expect(await second.exited).toBe(3);
      expect(second.log).not.toContain("took over");
      // What says of itself that it is a leftover of the command is ended as one; another user's is none of our business.
      expect(isMarked(marked.pid)).toBe(person === STRANGER);
    },
  );
});
