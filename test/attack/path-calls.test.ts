/**
 * Rule 1 of src/os/README.md, proven by strace(1): every call of hupwatch's own that makes, changes or removes something by a path. In
 * directories that others may write to it goes through a descriptor of the directory (or of the file itself), but for bind(2), which
 * follows no symlink at its last component and makes a name that could not be guessed.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { PYTHON } from "../setup/places.ts";
import { APP, ground, hasPeople, SERVER } from "./people.ts";

const hasStrace =
  hasPeople && Bun.which("strace") !== null && Bun.spawnSync(["strace", "-o", "/dev/null", "true"]).success;

/** In each of them a path is resolved, and something is changed by it. */
const CHANGES =
  /^(creat|mkdir|mknod|symlink|link|rename|unlink|rmdir|truncate|chmod|chown|lchown|utime|bind)\w*$/;

/** `mkdir /proc/self/fd/9/1`: the calls that change something, without what differs from run to run. */
function changesIn(trace: string, place: string): string[] {
  const calls = trace.split("\n").flatMap((line) => {
    const [, name = "", words = ""] = /^(\w+)\((.*)\) += (?!-1 E(?:NOENT|EXIST))/.exec(line) ?? [];
    const opens = name.startsWith("open") && /O_(WRONLY|RDWR|CREAT|TRUNC)/.test(words);
    if (!opens && !CHANGES.test(name)) return [];
    const paths = [...words.matchAll(/"([^"]*)"/g)].map(([, path = ""]) => path);
    const how = opens ? ` ${/O_EXCL|O_NOFOLLOW/.exec(words)?.[0] ?? "follows"}` : "";
    return [`${name}${how} ${paths.join(" ")}`];
  });
  const plain = (call: string) =>
    call
      .replaceAll(place, "")
      .replace(/\/proc\/self\/fd\/\d+/g, "FD")
      .replace(/hupwatch-\w+-\d-\w{6}/g, "hupwatch-RANDOM")
      .replace(/\.hupwatch-\d+/g, ".hupwatch-PID")
      .replace(/FD\/\d$/, "FD/GEN");
  return [...new Set(calls.map(plain))].sort();
}

test.skipIf(!hasStrace)(
  "what root changes by a path, from start to stop, with a swap between them",
  async () => {
    using place = ground();
    const [app, metrics] = [place.directory("app", APP), place.directory("metrics", APP)];
    const server = place.file("server.py", APP, SERVER);
    const trace = `${place.path}/trace`;
    const options = [
      ...[
        "-k",
        "-w",
        "0",
        "--name",
        "app",
        "--user",
        "nobody",
        "--pidfile",
        `${app}/app.pid`,
        "--ready",
        "http",
      ],
      ...["--socket-mode", "0660", "--socket-owner", "12345:12345", "-b", `unix:${app}/a.sock`],
    ];
    const strace = ["-o", trace, "-e", "trace=%file,bind", LAUNCHER];
    await using hupwatch = await startHupwatch([...strace, ...options, "--", PYTHON, server], {
      cwd: place.path,
      launcher: "strace",
      env: {
        PROMETHEUS_MULTIPROC_DIR: `${metrics}/{gen}`,
        XDG_RUNTIME_DIR: place.directory("run", { uid: 0, gid: 0 }),
      },
    });
    const pid = Number(readFileSync(`${app}/app.pid`, "utf8"));
    process.kill(pid, "SIGHUP");
    await hupwatch.until(LOG.gone(1));
    process.kill(pid, "SIGTERM");
    expect(await hupwatch.exited).toBe(0);
    expect(changesIn(readFileSync(trace, "utf8"), place.path)).toEqual([
      "bind /app/.a.sock.hupwatch-RANDOM",
      "bind /run/hupwatch/app.keeper",
      "bind /run/hupwatch/app.sock",
      "chown FD",
      "chown FD/.",
      "link FD/.a.sock.hupwatch-RANDOM FD/.a.sock.hupwatch-RANDOM~",
      "link FD/.a.sock.hupwatch-RANDOM FD/a.sock",
      "mkdir /run/hupwatch",
      "mkdir FD/GEN",
      "openat O_EXCL FD/app.json.new",
      "openat O_EXCL FD/app.pid.hupwatch-PID",
      "openat O_NOFOLLOW FD/app.lock",
      // The process's own name.
      // Neither is anybody else's: what a helper of ours writes, and our name for ps(1).
      "openat follows /dev/null",
      "openat follows /proc/self/comm",
      "rename FD/.a.sock.hupwatch-RANDOM~ FD/a.sock",
      "rename FD/app.json.new FD/app.json",
      "rename FD/app.pid.hupwatch-PID FD/app.pid",
      "rmdir FD/GEN",
      "unlink FD/.a.sock.hupwatch-RANDOM",
      "unlink FD/a.sock",
      "unlink FD/app.json",
      "unlink FD/app.lock",
      "unlink FD/app.pid",
      "unlink FD/app.sock",
    ]);
  },
);
