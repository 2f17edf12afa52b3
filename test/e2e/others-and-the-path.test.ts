/** What others that know nothing of hidden names do with a public path: cleaners of /tmp, hard links, mounts. And root that lacks a capability. */
import { describe, expect, test } from "bun:test";
import { linkSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const TINY = [process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
const IS_ROOT = process.getuid?.() === 0;
/** Debian's www-data. */
const WWW = 33;

/** Of what is old, with an age of nothing in place of ten days. Returns what is left. */
function clean(directory: string): string[] {
  const config = `${directory}.conf`;
  writeFileSync(config, `e ${directory} - - - 0\n`);
  const { exitCode, stderr } = Bun.spawnSync(["systemd-tmpfiles", "--clean", config]);
  expect({ exitCode, stderr: `${stderr}` }).toEqual({ exitCode: 0, stderr: "" });
  return readdirSync(directory).sort();
}

// "systemd-tmpfiles removes the live socket: the path is gone for good once hupwatch has left or was killed" (gunicorn alone is spared).
test.each([
  ["hupwatch binds", "systemd"],
  ["learned", "intercept"],
  ["the server binds", "path"],
])(
  "systemd-tmpfiles --clean spares the path, and after TERM and kill -9, too (%s)",
  async (_, handover) => {
    using dir = tempDir();
    const directory = `${dir.path}/sockets`;
    mkdirSync(directory);
    const path = `${directory}/app.sock`;
    const bind = handover === "intercept" ? [] : ["-b", `unix:${path}`];
    const command = [...TINY, handover === "path" ? "unix:{socket}" : `unix:${path}`];
    await using lives = new Lives(["-w", "0", "--handover", handover, ...bind, "--", ...command]);
    const first = await lives.start();
    if (bind.length === 0) await first.until(/held from now on/);
    await using load = await startLoad({ target: `unix:${path}`, rate: 200, afterFirstOk: true });
    const isSpared = () => expect(clean(directory)).toContain("app.sock");
    isSpared();
    await first.swap(2);
    isSpared();
    first.signal("SIGTERM");
    await first.exited;
    isSpared();
    const second = await lives.start();
    await second.until(LOG.gone(2));
    second.signal("SIGKILL");
    await second.exited;
    isSpared();
    await load.more(50);
    expect(await load.stop()).toMatchObject({ failures: {} });
    expect(lives.log).not.toContain("put back");
  },
  120_000,
);

// "Each deploy is an outage for that consumer; the log is clean: no warning."
describe("a name that is not ours", () => {
  const steered = (path: string) => ["-k", "-w", "0", "--handover", "systemd", "-b", `unix:${path}`];

  test("a hard link is told when it is made, again after a swap, and --cutover share serves it", async () => {
    using dir = tempDir();
    const [path, link] = [`${dir.path}/app.sock`, `${dir.path}/link.sock`];
    const told =
      /app\.sock: it has a hard link elsewhere: clients there stay with the old generation .*--cutover share/;
    {
      await using hupwatch = await startHupwatch([...steered(path), "--", ...TINY]);
      linkSync(path, link);
      await hupwatch.until(told);
      await hupwatch.swap(2);
      expect(hupwatch.count(told)).toBe(1);
      rmSync(link);
      linkSync(path, link);
      await until(() => hupwatch.count(told) === 2, { what: "the second link to be told" });
      rmSync(link);
    }
    await using hupwatch = await startHupwatch([...steered(path), "--cutover", "share", "--", ...TINY]);
    linkSync(path, link);
    await using load = await startLoad({ target: `unix:${link}`, rate: 100, afterFirstOk: true });
    await hupwatch.swap(2);
    await load.more(20);
    expect(await load.stop()).toMatchObject({ failures: {} });
    expect(hupwatch.count(told)).toBe(0);
  }, 120_000);

  test.skipIf(!IS_ROOT)(
    "a mount of the file in another namespace is told at the swap (needs root)",
    async () => {
      using dir = tempDir();
      const [path, mounted] = [`${dir.path}/app.sock`, `${dir.path}/mounted sock`];
      writeFileSync(mounted, "");
      await using hupwatch = await startHupwatch([...steered(path), "--", ...TINY]);
      const script = 'mount --bind "$1" "$2" && echo mounted && exec sleep 300';
      await using container = Bun.spawn(["unshare", "-m", "sh", "-c", script, "sh", path, mounted], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      for await (const _line of container.stdout) break;
      await hupwatch.swap(2);
      expect(hupwatch.log).toContain(
        `app.sock: it is mounted at ${mounted} (as process ${container.pid} sees it)`,
      );
      await hupwatch.swap(3);
      expect(hupwatch.count(/is mounted at/)).toBe(1);
    },
    120_000,
  );
});

/** A launcher in a mount namespace of its own, in which the script has run. `$S`: the socket's path. */
function inNamespace(directory: string, script: string): string {
  const path = `${directory}/launcher`;
  const text = `#!/bin/sh\nexport S='${directory}/app.sock'\nexec unshare -m sh -c '${script}; exec "$0" "$@"' ${LAUNCHER} "$@"\n`;
  writeFileSync(path, text, { mode: 0o755 });
  return path;
}

// "EBUSY: resource busy or locked, unlink '...'", exit 125; and a raw rename in a rolled back swap, which left its link behind.
describe.skipIf(!IS_ROOT)("the path is a mount point (needs root)", () => {
  const dead = `import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])`;
  const WAY_OUT = /something is mounted on it.*unmount it.*mount the directory of a socket, never its file/;

  test("at the start it is refused, and explain says so, in words with a way out", async () => {
    using dir = tempDir();
    Bun.spawnSync(["python3", "-c", dead, `${dir.path}/app.sock`]);
    const launcher = inNamespace(dir.path, 'mount --bind "$S" "$S"');
    const words = ["-b", `unix:${dir.path}/app.sock`, "--handover", "systemd", "--", ...TINY];
    const run = (...more: string[]) => Bun.spawnSync([launcher, ...more, ...words]);
    const explained = run("explain");
    expect(`${explained.stdout}`.replaceAll(/\s+/g, " ")).toContain("something is mounted on it");
    const { exitCode, stderr } = run("--run-dir", `${dir.path}/run`);
    expect(`${stderr}`).toContain("something is mounted on it");
    expect(`${stderr}`).toContain("mount the directory of a socket, never its file");
    expect(`${stderr}`).not.toContain("EBUSY");
    expect(exitCode).toBe(125);
  });

  test("while it serves, a swap is rolled back with the reason, and nothing is left beside the path", async () => {
    using dir = tempDir();
    const path = `${dir.path}/app.sock`;
    const launcher = inNamespace(dir.path, "true");
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0", "--handover", "systemd", "-b", `unix:${path}`, "--", ...TINY],
      { launcher },
    );
    const inside = Bun.spawnSync(["nsenter", "-m", "-t", `${hupwatch.pid}`, "mount", "--bind", path, path]);
    expect(inside.exitCode).toBe(0);
    await using load = await startLoad({ target: `unix:${path}`, rate: 100, afterFirstOk: true });
    hupwatch.hup();
    await hupwatch.until(LOG.rolledBack);
    await hupwatch.until(LOG.gone(2));
    await load.more(20);
    expect(await load.stop()).toMatchObject({ failures: {} });
    expect(hupwatch.log).toMatch(WAY_OUT);
    expect(hupwatch.log).not.toContain("EBUSY");
    expect(readdirSync(dir.path).filter((name) => name.endsWith("~"))).toEqual([]);
  }, 120_000);
});

// "EPERM: operation not permitted, link", exit 125, in a container that drops CAP_FOWNER; gunicorn alone works there.
test.skipIf(!IS_ROOT)(
  "root without CAP_FOWNER gives its socket away, swaps it and puts it back (needs root)",
  async () => {
    using dir = tempDir();
    const path = `${dir.path}/app.sock`;
    const launcher = `${dir.path}/launcher`;
    const text = `#!/bin/sh\nexec setpriv --bounding-set -fowner --inh-caps -fowner ${LAUNCHER} "$@"\n`;
    writeFileSync(launcher, text, { mode: 0o755 });
    await using hupwatch = await startHupwatch(
      [
        ...["-k", "-w", "0", "--handover", "systemd", "-b", `unix:${path}`, "--socket-mode", "0660"],
        ...["--socket-owner", "www-data", "--", ...TINY],
      ],
      { launcher },
    );
    await using load = await startLoad({ target: `unix:${path}`, rate: 200, afterFirstOk: true });
    await hupwatch.swap(2);
    await load.more(20);
    expect(await load.stop()).toMatchObject({ failures: {} });
    rmSync(path);
    await hupwatch.until(/put back/);
    const { uid, mode } = lstatSync(path);
    expect({ uid, mode: mode & 0o777 }).toEqual({ uid: WWW, mode: 0o660 });
    await hupwatch.swap(3);
    expect(lstatSync(path).uid).toBe(WWW);
  },
  120_000,
);
