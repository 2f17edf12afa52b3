/** Nothing of the app's runs with more rights than the app: helpers of ours, hooks, and what the env file says. */
import { describe, expect, test } from "bun:test";
import { existsSync, linkSync, lstatSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { environmentOf } from "../harness/processes.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS, PYTHON } from "../setup/places.ts";
import { APP, type Ground, ground, hasPeople, runAs, SERVER } from "./people.ts";

/** A ground with a release of the command's user, and the words that run it. */
function release(place: Ground, handover = "systemd"): { app: string; words: string[] } {
  const app = place.directory("app", APP, 0o777);
  const server = place.file("app/server.py", APP, SERVER);
  const socket = `${place.path}/app.sock`;
  return { app, words: ["--handover", handover, "-b", `unix:${socket}`, "--", PYTHON, server, socket] };
}

const OPTIONS = ["-k", "-w", "0", "--user", "nobody", "--ready", "http"];
const owners = (directory: string, prefix: string) =>
  readdirSync(directory)
    .filter((name) => name.startsWith(prefix))
    .map((name) => lstatSync(`${directory}/${name}`).uid);

describe.skipIf(!hasPeople)("nothing of the app's runs with more rights than the app", () => {
  // F22: "evil.so ran 'as euid 0 in setpriv' and 'as euid 0 in tee', at each generation"
  test.each(["systemd", "intercept"])(
    "the env file's variables act on the command alone, and on nothing that is root (%s)",
    async (mode) => {
      using place = ground();
      const { app, words } = release(place, mode);
      // ld.so writes a file for each program that it starts with these, as that program's user.
      const env = place.file(
        "app/env",
        APP,
        `LD_DEBUG=libs\nLD_DEBUG_OUTPUT=${app}/trace\nPLAIN=it's "$HOME"\n`,
      );
      await using hupwatch = await startHupwatch([...OPTIONS, "--env-file", env, ...words], { cwd: app });
      await hupwatch.swap(2);
      const traced = owners(app, "trace.");
      expect(traced.length).toBeGreaterThan(0);
      expect(traced.filter((uid) => uid !== APP.uid)).toEqual([]);
      const seen = hupwatch
        .tree()
        .filter(({ uid, command }) => uid === APP.uid && command.includes("server.py"))
        .flatMap(({ pid }) => environmentOf(pid)?.split("\n") ?? []);
      expect(seen).toContain(`PLAIN=it's "$HOME"`);
      expect(seen).toContain("LD_DEBUG=libs");
      expect(seen.filter((entry) => entry.startsWith("HUPWATCH_MOVED"))).toEqual([]);
    },
  );

  // F22: "with PATH: 'evil tee as 0'"
  test("a PATH of the env file finds the command, and none of hupwatch's helpers", async () => {
    using place = ground();
    const { app, words } = release(place);
    place.directory("app/bin", APP);
    for (const name of ["tee", "setpriv", "sh", "env", "tr", "grep"])
      place.file(
        `app/bin/${name}`,
        APP,
        `#!/bin/sh\nid -u >> ${app}/ran-${name}\nexec /usr/bin/${name} "$@"\n`,
        0o755,
      );
    const env = place.file("app/env", APP, `PATH=${app}/bin:/usr/bin:/bin\nspring.profile=odd\n`);
    await using hupwatch = await startHupwatch([...OPTIONS, "--env-file", env, ...words], { cwd: app });
    await hupwatch.swap(2);
    expect(readdirSync(app).filter((name) => name.startsWith("ran-"))).toEqual([]);
  });

  test("tee, which hupwatch puts behind the command's stderr, runs as the command's user", async () => {
    using place = ground();
    const { app, words } = release(place);
    await using hupwatch = await startHupwatch([...OPTIONS, ...words], { cwd: app });
    const tee = hupwatch.tree().find(({ command }) => command.includes("--output-error"));
    expect(lstatSync(`/proc/${tee?.pid}`).uid).toBe(APP.uid);
    expect(readFileSync(`/proc/${tee?.pid}/status`, "utf8")).toMatch(/^CapEff:\t0+$/m);
  });

  // "Error: '/dev/stderr' isn't writable [PermissionError(13, 'Permission denied')]": benoitc/gunicorn writes its log there
  test("the command may open /dev/stderr, which is a pipe of hupwatch's making", async () => {
    using place = ground();
    const { app, words } = release(place);
    place.file("app/server.py", APP, `open("/dev/stderr", "w").write("opened anew\\n")\n${SERVER}`);
    await using hupwatch = await startHupwatch([...OPTIONS, ...words], { cwd: app });
    await hupwatch.until(/opened anew/);
  });

  // F23: "`--user nobody --hook 'ready=id -u'` prints 0, cwd = the release: a relative hook is the app user's program run as root"
  test("a hook runs as the command's user, in the command's directory", async () => {
    using place = ground();
    const { app, words } = release(place);
    place.file("app/hook", APP, `#!/bin/sh\necho "$(id -u) $(id -g) $(id -G) $PWD" > hooked\n`, 0o755);
    const hook = ["--hook", "ready=./hook", "--hook", "swapped=touch /root/hupwatch-was-here"];
    await using hupwatch = await startHupwatch([...OPTIONS, ...hook, ...words], { cwd: app });
    await until(() => existsSync(`${app}/hooked`) && readFileSync(`${app}/hooked`, "utf8").length > 0, {
      what: "the hook",
    });
    expect(readFileSync(`${app}/hooked`, "utf8")).toBe(`${APP.uid} ${APP.gid} ${APP.gid} ${app}\n`);
    expect(lstatSync(`${app}/hooked`).uid).toBe(APP.uid);
    hupwatch.hup();
    await hupwatch.until(/hook swapped '.*' exited with code 1/);
    await hupwatch.until(LOG.gone(1));
    expect(existsSync("/root/hupwatch-was-here")).toBe(false);
  });

  // F3: "config executed as uid 0 euid 0, with root's whole environment visible", in `explain`, too
  test("the release's configuration is asked as the command's user, with its umask, by a start and by explain", async () => {
    using place = ground();
    const app = place.directory("app", APP, 0o777);
    place.file("app/gunicorn.conf.py", APP, `open("made", "a")\nbind = "unix:c.sock"\n`);
    place.file("app/wsgi.py", APP, "def app(e, s):\n    s('200 OK', [])\n    return [b'1']\n");
    const words = ["--user", "nobody", "--umask", "0027", "--", GUNICORNS.debian, "wsgi:app"];
    const explained = Bun.spawnSync([LAUNCHER, "explain", ...words], {
      cwd: app,
      env: { ...process.env, PWD: app, HUPWATCH_BUN: process.execPath },
    });
    expect(explained.stdout.toString()).toContain("run to print its configuration, as nobody");
    expect(existsSync(`${app}/made`)).toBe(false);
    await using _hupwatch = await startHupwatch(["-k", ...words], { cwd: app });
    expect(lstatSync(`${app}/made`)).toMatchObject({ uid: APP.uid, gid: APP.gid, mode: 0o100640 });
  });

  test.each(["symbolic", "hard"])(
    "an env file that a %s link of the command's user leads to is read as that user",
    async (kind) => {
      using place = ground();
      const { app, words } = release(place);
      const secret = place.file("secret.env", { uid: 0, gid: 0 }, "TOKEN=s3cret\n", 0o600);
      const open = place.file("open.env", { uid: 0, gid: 0 }, "TOKEN=known\n", 0o644);
      const env = `${app}/env`;
      // As where fs.protected_hardlinks is 0.
      const link = (target: string) =>
        kind === "hard" ? linkSync(target, env) : runAs(APP, ["ln", "-s", target, env]);
      link(open);
      const start = () => startHupwatch([...OPTIONS, "--env-file", env, ...words], { cwd: app });
      await using hupwatch = await start();
      unlinkSync(env);
      link(secret);
      hupwatch.hup();
      await hupwatch.until(/rolled back: .*is read as nobody: .*Permission denied/);
      expect(hupwatch.log).not.toContain("s3cret");
      const seen = hupwatch.tree().map(({ pid }) => environmentOf(pid) ?? "");
      expect(seen.filter((text) => text.includes("TOKEN=known")).length).toBeGreaterThan(0);
      expect(seen.filter((text) => text.includes("s3cret"))).toEqual([]);
    },
  );

  // "the version was asked of the venv's gunicorn (as root), but www-data could not enter that venv": asked one file, ran another
  test("a command that its user may not run is refused, and none that the PATH has behind it is run instead", async () => {
    using place = ground();
    const { words } = release(place);
    place.directory("private", { uid: 0, gid: 0 }, 0o700);
    const hidden = place.file("private/server", { uid: 0, gid: 0 }, "#!/bin/sh\nexit 0\n", 0o755);
    const hupwatch = Bun.spawnSync(
      [
        "src/launcher.sh",
        ...OPTIONS,
        "--run-dir",
        place.directory("run", { uid: 0, gid: 0 }, 0o700),
        ...words.slice(0, 5),
        hidden,
      ],
      { env: { ...process.env, HUPWATCH_BUN: process.execPath }, stderr: "pipe" },
    );
    expect(hupwatch.stderr.toString()).toContain(
      `cannot run '${hidden}': user 'nobody' may not run ${hidden}`,
    );
    expect(hupwatch.exitCode).toBe(126);
  });
});
