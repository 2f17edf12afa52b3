/** What systemd is told, over a real datagram socket, and sockets that a starter has opened: LISTEN_FDS, and descriptor 0. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { cli, home } from "../harness/cli.ts";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { NotifyReceiver } from "../harness/notify-receiver.ts";
import { gunicorn, gunicornSite } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";

const TIMEOUT_MS = 120_000;
const SERVER = `#!/bin/sh
[ -e broken ] && { echo "no such module" >&2; exit 3; }
echo "sees NOTIFY_SOCKET=$NOTIFY_SOCKET WATCHDOG_USEC=$WATCHDOG_USEC" >&2
exec sleep 1000
`;

/** /proc/uptime counts as CLOCK_MONOTONIC does where a machine never sleeps, in hundredths of a second. */
const uptime = () => BigInt(Math.round(Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1e6));

const monotonicOf = (message: string) => BigInt(/^MONOTONIC_USEC=(\d+)$/m.exec(message)?.[1] ?? 0);

test(
  "READY once it serves, RELOADING and READY around a swap and a rollback, STOPPING, the watchdog",
  async () => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/server`, SERVER, { mode: 0o755 });
    using systemd = new NotifyReceiver(`${dir.path}/notify`);
    const env = { NOTIFY_SOCKET: systemd.path, WATCHDOG_USEC: "200000" };
    const options = ["-k", "-w", "0", "--ready", "line:^sees"];
    await using hupwatch = await startHupwatch([...options, "--", "./server"], { cwd: dir.path, env });
    await systemd.until(() => systemd.milestones.length === 1, "READY=1");
    expect(systemd.milestones).toEqual(["READY"]);
    const booting = systemd.messages.findIndex((m) => m.includes("EXTEND_TIMEOUT_USEC=30000000"));
    expect(booting).toBeGreaterThanOrEqual(0);
    expect(booting).toBeLessThan(systemd.messages.findIndex((m) => m.startsWith("READY=1")));
    await hupwatch.until(/^sees NOTIFY_SOCKET= WATCHDOG_USEC=$/m);

    const before = uptime();
    hupwatch.hup();
    await systemd.until(() => systemd.milestones.length === 3, "the end of the swap");
    expect(systemd.milestones).toEqual(["READY", "RELOADING", "READY"]);
    const reloading = systemd.messages.find((m) => m.startsWith("RELOADING=1")) ?? "";
    // systemd takes no answer for this reload that is older than it (/proc/uptime has hundredths).
    expect(monotonicOf(reloading)).toBeGreaterThan(before - 20_000n);
    expect(monotonicOf(reloading)).toBeLessThan(uptime() + 20_000n);
    expect(systemd.messages.findLast((m) => m.startsWith("READY=1"))).toContain(
      "STATUS=generation 2 serves\n",
    );

    writeFileSync(`${dir.path}/broken`, "");
    hupwatch.hup();
    await systemd.until(() => systemd.milestones.length === 5, "the end of the rollback");
    expect(systemd.milestones.slice(3)).toEqual(["RELOADING", "READY"]);
    expect(systemd.messages.findLast((m) => m.startsWith("READY=1"))).toMatch(
      /^STATUS=generation 2 serves; rolled back: generation 3 exited with code 3/m,
    );

    const beats = () => systemd.messages.filter((m) => m === "WATCHDOG=1\n").length;
    const counted = beats();
    await systemd.until(() => beats() >= counted + 3, "three more WATCHDOG=1");
    hupwatch.signal("SIGTERM");
    expect(await hupwatch.exited).toBe(0);
    expect(systemd.milestones.slice(5)).toEqual(["STOPPING"]);
  },
  TIMEOUT_MS,
);

test("leaving sends STOPPING, and says how to stop the service that goes on", async () => {
  using dir = tempDir();
  using systemd = new NotifyReceiver(`${dir.path}/notify`);
  const words = ["--ready", "delay:0", "--stop-signal", "QUIT", "--", "sleep", "1000"];
  await using hupwatch = await startHupwatch(words, { env: { NOTIFY_SOCKET: systemd.path } });
  const child = LOG.started(1).exec(hupwatch.log)?.[1];
  await systemd.until(() => systemd.milestones.length === 1, "READY=1");
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  expect(systemd.milestones).toEqual(["READY", "STOPPING"]);
  expect(systemd.messages.at(-1)).toContain(
    `STATUS=left generation 1 running (pid ${child}): the same command line takes it over, 'kill -QUIT ${child}' stops it\n`,
  );
  process.kill(Number(child), "SIGQUIT");
  await hupwatch.assertTreeGone();
});

test("a swap that is asked for again is one reload, over when the last one is", async () => {
  using dir = tempDir();
  using systemd = new NotifyReceiver(`${dir.path}/notify`);
  // The second one boots until the test has asked again.
  const check = `exec:[ $HUPWATCH_GENERATION = 1 ] || [ -e '${dir.path}/asked' ]`;
  const options = ["-v", "-k", "-w", "0", "--ready", check];
  const env = { NOTIFY_SOCKET: systemd.path };
  await using hupwatch = await startHupwatch([...options, "--", "sleep", "1000"], { env });
  hupwatch.hup();
  await hupwatch.until(LOG.started(2));
  hupwatch.hup();
  await until(() => hupwatch.count(/received SIGHUP/) === 2, {
    what: "the second HUP to be heard",
    context: () => hupwatch.log,
  });
  writeFileSync(`${dir.path}/asked`, "");
  await hupwatch.until(LOG.serves(3));
  await systemd.until(() => systemd.milestones.at(-1) === "READY", "READY=1");
  const kinds = systemd.milestones.join(" ");
  expect(kinds).toMatch(/^READY( RELOADING)+ READY$/);
});

/** As systemd starts a service with sockets: on descriptor 3 and up, with the pid that it will have. */
const ACTIVATOR = `#!${PYTHON}
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["ACTIVATED"])
listener.listen(128)
number = int(os.environ["ACTIVATED_FD"])
if listener.fileno() != number: os.dup2(listener.fileno(), number)
os.set_inheritable(number, True)
if number == 3:
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web.socket")
os.execv(os.environ["LAUNCHER"], ["hupwatch", *sys.argv[1:]])
`;

test.each([
  { from: "systemd (LISTEN_FDS)", fd: "3", options: [], name: "web.socket" },
  { from: "supervisord's fcgi-program (descriptor 0)", fd: "0", options: ["-b", "fd://0"], name: "fd-0" },
])(
  "a socket from $from is shared by all generations and keeps its name; swaps go on under load",
  async ({ fd, options, name }) => {
    using place = home();
    using site = gunicornSite();
    const path = `${site.path}/web.sock`;
    writeFileSync(`${place.path}/activator`, ACTIVATOR, { mode: 0o755 });
    const env = { ...place.env, ACTIVATED: path, ACTIVATED_FD: fd, LAUNCHER };
    // Its own address is not what it is to serve on here.
    const command = gunicorn("127.0.0.1:1", { worker: "gthread" });
    const words = ["-k", "-w", "0.5", ...options, "--name", "web", "--", ...command];
    await using hupwatch = await startHupwatch(words, {
      cwd: site.current,
      env,
      launcher: `${place.path}/activator`,
    });
    expect(hupwatch.log).toContain(`holding unix:${path} (shared: inherited`);
    const status = await cli(["status", "web", "--json"], place);
    expect(JSON.parse(status.stdout)[0].sockets).toEqual([
      { name, address: `unix:${path}`, cutover: "share", queued: 0 },
    ]);
    await using load = await startLoad({ target: `unix:${path}`, afterFirstOk: true });
    site.deploy("2");
    expect(await cli(["reload", "web"], place)).toMatchObject({ exitCode: 0 });
    await load.version("2");
    await hupwatch.until(LOG.gone(1));
    await load.more(50);
    const report = await load.stop();
    // Shared: what a server has accepted and not read when it is stopped is its loss, and the README says so.
    expect(report.failed).toBeLessThan(20);
    expect(report.lastVersion).toBe("2");
  },
  TIMEOUT_MS,
);
