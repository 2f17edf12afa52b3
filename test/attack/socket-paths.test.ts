/** Root's sockets in a directory that another user may write to: F4, F13, F25, F28 of src/os/README.md. */
import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync, readdirSync, statSync, symlinkSync, unlinkSync } from "node:fs";
import type { SocketOptions } from "../../src/sockets/held.ts";
import { HeldUnix } from "../../src/sockets/held-unix.ts";
import { parseSpec } from "../../src/sockets/spec.ts";
import { throughLink } from "../../src/sockets/unix-path.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { thrownBy } from "../harness/thrown.ts";
import { PYTHON } from "../setup/places.ts";
import {
  APP,
  type Ground,
  ground,
  hasPeople,
  pythonAs,
  ROOT_USER,
  SERVER,
  STRANGER,
  startAs,
} from "./people.ts";

const spec = (path: string) => parseSpec(`unix:${path}`, "/");
const hold = (path: string, options: Partial<SocketOptions> = {}) =>
  new HeldUnix(spec(path), path, { backlog: 16, ...options });

/** Waits in the directory for a name that begins so, and puts a symlink there at once: inotify(7), by libc. */
const RACER = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
directory, begins, victim = sys.argv[1:]
os.chdir(directory)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b".", 0x100)
os.symlink(victim, "ready-made")
print("waits", flush=True)
while True:
    events, at = os.read(fd, 65536), 0
    while at < len(events):
        length = struct.unpack_from("iIII", events, at)[3]
        name = events[at + 16 : at + 16 + length].rstrip(b"\\0").decode()
        at += 16 + length
        if not name.startswith(begins): continue
        try:
            os.rename("ready-made", name)
            os.symlink(victim, "ready-made")
        except OSError: pass
`;

/** What a user could want root to change. */
const victimIn = (place: Ground) => place.file("victim", ROOT_USER, "s3cret", 0o600);
const untouched = (path: string) => {
  const { mode, uid, gid } = statSync(path);
  expect({ mode: mode & 0o7777, uid, gid }).toEqual({ mode: 0o600, uid: 0, gid: 0 });
};

describe.skipIf(!hasPeople)(
  "F4: a symlink in place of the hidden socket, between bind and what follows",
  () => {
    // Before, won at the first of these in most runs: root's file was -rw-rw-rw- nobody.
    test("is never followed by chmod or chown, in 100 tries", async () => {
      using place = ground();
      const victim = victimIn(place);
      const app = place.directory("app", APP);
      await using racer = startAs(APP, [PYTHON, "-c", RACER, app, ".a.sock.hupwatch", victim]);
      expect(await racer.said()).toContain("waits");
      let replaced = 0;
      for (let n = 1; n <= 100; n++) {
        using held = hold(`${app}/a.sock`, { mode: 0o666, owner: APP });
        try {
          held.listenFor(n);
        } catch {
          // It was seen: no socket of ours.
        }
        const links = readdirSync(app).filter(
          (name) => name.startsWith(".a.sock") && isLink(`${app}/${name}`),
        );
        replaced += links.length;
        for (const name of links) unlinkSync(`${app}/${name}`);
      }
      expect(replaced).toBeGreaterThan(0);
      untouched(victim);
    });

    const isLink = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;

    test("the mode and the owner are there all the same, from the bind on", () => {
      using place = ground();
      const app = place.directory("app", APP);
      const before = process.umask(0o077);
      try {
        using held = hold(`${app}/a.sock`, { mode: 0o660, owner: STRANGER });
        const { privatePath } = held.listenFor(1);
        expect(statSync(privatePath)).toMatchObject({ uid: STRANGER.uid, gid: STRANGER.gid });
        expect(statSync(privatePath).mode & 0o777).toBe(0o660);
        expect(process.umask()).toBe(0o077);
      } finally {
        process.umask(before);
      }
    });
  },
);

describe.skipIf(!hasPeople)("F4: a directory on the way that is replaced between two calls", () => {
  test("a socket of the same name elsewhere is neither replaced nor removed", async () => {
    using place = ground();
    const app = place.directory("app", APP);
    pythonAs(APP, `import os,sys; os.mkdir(sys.argv[1])`, `${app}/run`);
    const other = place.directory("other", ROOT_USER);
    const theirs = hold(`${other}/a.sock`);
    theirs.steerTo(theirs.listenFor(1));
    const inode = lstatSync(`${other}/a.sock`).ino;
    const held = hold(`${app}/run/a.sock`);
    held.steerTo(held.listenFor(1));
    pythonAs(
      APP,
      `import os,sys; os.chdir(sys.argv[1]); os.rename("run","was"); os.symlink(sys.argv[2],"run")`,
      app,
      other,
    );
    expect(thrownBy(() => held.listenFor(2))).toMatchObject({ code: "path.symlink" });
    held[Symbol.dispose]();
    expect(lstatSync(`${other}/a.sock`).ino).toBe(inode);
    theirs[Symbol.dispose]();
  });
});

describe.skipIf(!hasPeople)("F13: names that another user makes first", () => {
  test("cannot be guessed: what 0.1.0 would have used is taken, and every swap works", async () => {
    using place = ground();
    const tmp = place.directory("tmp", ROOT_USER, 0o1777);
    const server = place.file("server.py", APP, SERVER);
    const options = ["-k", "-w", "0", "--user", "nobody", "--ready", "http", "-b", `unix:${tmp}/a.sock`];
    await using hupwatch = await startHupwatch([...options, "--", PYTHON, server], { cwd: place.path });
    const names = Array.from({ length: 6 }, (_, n) => `.a.sock.hupwatch-${hupwatch.pid.toString(36)}-${n}`);
    const make = `import os,sys; os.chdir(sys.argv[1]); [open(n + e, "x") for n in sys.argv[2:] for e in ("", "~") if not os.path.exists(n + e)]`;
    pythonAs(STRANGER, make, tmp, ...names);
    // And for each that can be seen, the name of the link that is about to be renamed.
    const seen = readdirSync(tmp).filter(
      (name) => name.startsWith(".a.sock") && !names.includes(name.replace("~", "")),
    );
    pythonAs(
      STRANGER,
      `import os,sys; os.chdir(sys.argv[1]); [open(n + "~", "x") for n in sys.argv[2:]]`,
      tmp,
      ...seen,
    );
    for (const generation of [2, 3]) await hupwatch.swap(generation);
    expect(hupwatch.log).not.toMatch(LOG.rolledBack);
  });

  test("a name that is taken all the same costs another try", () => {
    using place = ground();
    const random = crypto.getRandomValues;
    let asked = 0;
    // The first two are the same.
    crypto.getRandomValues = ((array: Uint32Array) => array.fill(Math.max(1, asked++))) as typeof random;
    try {
      using held = hold(`${place.path}/a.sock`);
      const [one, two] = [held.listenFor(1), held.listenFor(1)];
      expect(one.privatePath).not.toBe(two.privatePath);
      expect(asked).toBe(3);
    } finally {
      crypto.getRandomValues = random;
    }
  });
});

describe.skipIf(!hasPeople)("F25: a symlink at the public path, or on the way to it", () => {
  test("of a stranger in /tmp is not followed, and said", () => {
    using place = ground();
    const tmp = place.directory("tmp", ROOT_USER, 0o1777);
    const theirs = place.directory("theirs", STRANGER);
    pythonAs(
      STRANGER,
      `import os,sys; os.symlink(sys.argv[1] + "/m.sock", sys.argv[2] + "/a.sock"); os.symlink(sys.argv[1], sys.argv[2] + "/d")`,
      theirs,
      tmp,
    );
    pythonAs(
      STRANGER,
      `import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])`,
      `${theirs}/m.sock`,
    );
    const error = thrownBy(() => throughLink(spec(`${tmp}/a.sock`), `${tmp}/a.sock`));
    expect(error).toMatchObject({ code: "path.symlink", exitCode: 125 });
    expect(error.message).toBe(
      `cannot bind 'unix:${tmp}/a.sock': the symlink a.sock in ${tmp}/a.sock belongs to user 12345, its directory to user 0: it is not followed`,
    );
    expect(thrownBy(() => hold(`${tmp}/d/a.sock`))).toMatchObject({ code: "path.symlink" });
    expect(readdirSync(theirs)).toEqual(["m.sock"]);
  });

  test("of the directory's owner is followed to a place of its own, and not to root's", () => {
    using place = ground();
    const app = place.directory("app", APP);
    const [own, roots] = [place.directory("own", APP), place.directory("roots", ROOT_USER)];
    pythonAs(
      APP,
      `import os,sys; os.symlink(sys.argv[2], sys.argv[1] + "/to-own"); os.symlink(sys.argv[3], sys.argv[1] + "/to-root")`,
      app,
      own,
      roots,
    );
    {
      using held = hold(`${app}/to-own/a.sock`);
      held.steerTo(held.listenFor(1));
      expect(lstatSync(`${own}/a.sock`).isSocket()).toBe(true);
    }
    expect(thrownBy(() => hold(`${app}/to-root/a.sock`)).message).toContain(
      "leads to a directory of user 0: root does not follow it",
    );
    expect(readdirSync(roots)).toEqual([]);
  });

  test("of a deploy user leads to the directory of the command's user", () => {
    using place = ground();
    const release = place.directory("release", STRANGER);
    const shared = place.directory("shared", APP);
    pythonAs(STRANGER, `import os,sys; os.symlink(sys.argv[1], sys.argv[2] + "/sockets")`, shared, release);
    expect(thrownBy(() => hold(`${release}/sockets/a.sock`))).toMatchObject({ code: "path.symlink" });
    using held = hold(`${release}/sockets/a.sock`, { users: [APP.uid] });
    held.steerTo(held.listenFor(1));
    expect(existsSync(`${shared}/a.sock`)).toBe(true);
  });

  test("of root leads wherever root likes", () => {
    using place = ground();
    const theirs = place.directory("theirs", STRANGER);
    symlinkSync(theirs, `${place.path}/link`);
    using held = hold(`${place.path}/link/a.sock`);
    held.steerTo(held.listenFor(1));
    expect(existsSync(`${theirs}/a.sock`)).toBe(true);
  });
});

describe.skipIf(!hasPeople)("F28: a socket that the server binds by itself", () => {
  const serve = async (place: Ground, ...options: string[]) => {
    const server = place.file("server.py", APP, SERVER);
    const run = place.directory("run", APP);
    const bind = ["-k", "-w", "0", "--user", "nobody", "--ready", "http", "-b", `unix:${run}/a.sock`];
    const words = ["--umask", "0000", ...bind, ...options, "--", PYTHON, server, "{socket}"];
    return { socket: `${run}/a.sock`, hupwatch: await startHupwatch(words, { cwd: place.path }) };
  };

  test("has the mode and the owner that were asked for, at every generation", async () => {
    using place = ground();
    const { socket, hupwatch } = await serve(place, "--socket-mode", "0600", "--socket-owner", "12345:12345");
    await using _hupwatch = hupwatch;
    for (const generation of [2, 3]) {
      expect(lstatSync(socket).mode & 0o777).toBe(0o600);
      expect(lstatSync(socket)).toMatchObject({ uid: STRANGER.uid, gid: STRANGER.gid });
      await hupwatch.swap(generation);
    }
  });

  test("a stranger that the mode does not allow cannot connect", async () => {
    using place = ground();
    const { socket, hupwatch } = await serve(place, "--socket-mode", "0600");
    await using _hupwatch = hupwatch;
    const connect = `
import socket, sys
try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except PermissionError: print("kept out")`;
    expect(pythonAs(STRANGER, connect, socket)).toBe("kept out");
  });
});
