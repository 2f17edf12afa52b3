/** What hupwatch writes in the run directory and beside a pid file: F11, F19 and F21 of src/os/README.md. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { PidFile } from "../../src/instance/pidfile.ts";
import { InstanceLock, openRunDir, runDirsBeside } from "../../src/instance/run-dir.ts";
import { type RecordedState, StateFile } from "../../src/instance/state-file.ts";
import { privateListener } from "../../src/sockets/private-listener.ts";
import { thrownBy } from "../harness/thrown.ts";
import { APP, ground, hasPeople, pythonAs, ROOT_USER, runAs, STRANGER } from "./people.ts";

const STATE: RecordedState = {
  version: 1,
  name: "st",
  hupwatch: { pid: 1, startTime: 1 },
  last: 1,
  generations: [],
};

describe.skipIf(!hasPeople)("F11: a run directory that was removed, and made anew by another user", () => {
  test("is not written to, not through its symlinks and not else, and that is said once", () => {
    using place = ground();
    const tmp = place.directory("tmp", ROOT_USER, 0o1777);
    const precious = place.file("precious", ROOT_USER, "precious", 0o600);
    const runDir = openRunDir({ path: `${tmp}/hupwatch`, isRequested: false }, 0);
    const told: string[] = [];
    const state = new StateFile(runDir, "st", (why) => told.push(why));
    state.write(STATE);
    const lock = InstanceLock.take(runDir, "st", process.pid);
    expect(readdirSync(runDir).sort()).toEqual(["st.json", "st.lock"]);
    rmSync(runDir, { recursive: true });
    // Before, root's file became the state, and what came later lay in the stranger's directory.
    const again = `import os,sys; d=sys.argv[1]; os.umask(0); os.mkdir(d, 0o777)
for n in ("st.json.new", "st.json"): os.symlink(sys.argv[2], d + "/" + n)
open(d + "/st.lock", "x").close()`;
    pythonAs(STRANGER, again, runDir, precious);
    for (const last of [2, 3]) state.write({ ...STATE, last });
    expect(told).toEqual([`the run directory ${runDir} belongs to user 12345`]);
    expect(readFileSync(precious, "utf8")).toBe("precious");
    expect(() => privateListener(`${runDir}/probe`)).toThrow("bind: EPERM");
    state.remove();
    lock[Symbol.dispose]();
    expect(readdirSync(runDir).sort()).toEqual(["st.json", "st.json.new", "st.lock"]);
  });

  test("is made anew by hupwatch where nobody has", () => {
    using place = ground();
    const runDir = openRunDir({ path: `${place.path}/hupwatch`, isRequested: false }, 0);
    rmSync(runDir, { recursive: true });
    new StateFile(runDir, "st", () => expect.unreachable()).write(STATE);
    expect(statSync(runDir).mode & 0o777).toBe(0o700);
    expect(statSync(`${runDir}/st.json`).mode & 0o777).toBe(0o600);
  });
});

describe.skipIf(!hasPeople)("F19: another user has made /tmp/hupwatch-UID first", () => {
  test("then it is one with a name that could not be guessed, which the next start finds", () => {
    const path = `/tmp/hupwatch-test-${process.pid}`;
    const made: string[] = [path];
    try {
      pythonAs(
        STRANGER,
        `import os,sys; os.mkdir(sys.argv[1]); os.mkdir(sys.argv[1] + "-theirs", 0o700)`,
        path,
      );
      made.push(`${path}-theirs`);
      const first = openRunDir({ path, isRequested: false }, 0);
      made.push(first);
      expect(first).toMatch(new RegExp(`^${path}-\\w{6}$`));
      expect(statSync(first)).toMatchObject({ uid: 0 });
      expect(statSync(first).mode & 0o777).toBe(0o700);
      expect(openRunDir({ path, isRequested: false }, 0)).toBe(first);
      expect(runDirsBeside(path, 0)).toEqual([first]);
      expect(thrownBy(() => openRunDir({ path, isRequested: true }, 0))).toMatchObject({
        code: "run-dir.foreign",
      });
    } finally {
      for (const directory of made) rmSync(directory, { recursive: true, force: true });
    }
  });
});

const MOUNT = ["mount", "-t", "tmpfs", "-o", "size=4k", "none"];
/** In a mount namespace of its own: false where a sandbox forbids it. */
const canMount =
  hasPeople && Bun.spawnSync(["unshare", "-m", ...MOUNT, "/mnt"], { stderr: "ignore" }).success;

describe.skipIf(!hasPeople)("F21: the pid file", () => {
  test.skipIf(!canMount)("leaves nothing beside it where a full disk does not take it", () => {
    using place = ground();
    const disk = place.directory("disk", ROOT_USER);
    expect(runAs(ROOT_USER, [...MOUNT, disk]).exitCode).toBe(0);
    try {
      Bun.spawnSync(["sh", "-c", `head -c 8192 /dev/zero > ${disk}/fill`], { stderr: "ignore" });
      for (const _ of [1, 2])
        expect(thrownBy(() => new PidFile({ path: `${disk}/app.pid` }, 77))).toMatchObject({
          code: "pidfile.unwritable",
        });
      expect(readdirSync(disk)).toEqual(["fill"]);
    } finally {
      runAs(ROOT_USER, ["umount", disk]);
    }
  });

  // Of the whole kind: gunicorn.conf.py is the command's user's, and root put its pid wherever `pidfile` in it said.
  test("that the server's settings name is written only where the command's user may write", () => {
    using place = ground();
    const etc = place.directory("etc", ROOT_USER);
    const passwd = place.file("etc/passwd", ROOT_USER, "root:x:0:0\n");
    const tmp = place.directory("tmp", ROOT_USER, 0o1777);
    const theirs = place.file("tmp/theirs", STRANGER, "theirs");
    for (const path of [passwd, `${etc}/new`, theirs])
      expect(thrownBy(() => new PidFile({ path, chosenBy: APP.uid }, 77))).toMatchObject({
        code: "pidfile.unwritable",
      });
    expect([readFileSync(passwd, "utf8"), readFileSync(theirs, "utf8")]).toEqual(["root:x:0:0\n", "theirs"]);
    expect(readdirSync(etc)).toEqual(["passwd"]);
    const app = place.directory("app", APP);
    for (const path of [`${app}/app.pid`, `${tmp}/app.pid`])
      for (const pid of [77, 78]) {
        const pidfile = new PidFile({ path, chosenBy: APP.uid }, pid);
        pidfile.publish();
        expect(readFileSync(path, "utf8")).toBe(`${pid}\n`);
        if (pid === 78) pidfile[Symbol.dispose]();
      }
    expect(existsSync(`${app}/app.pid`)).toBe(false);
  });

  test("a FIFO of the command's user in its place does not block a start", () => {
    using place = ground();
    const app = place.directory("app", APP);
    const pidfile = new PidFile({ path: `${app}/app.pid` }, 77);
    pidfile.publish();
    pythonAs(
      APP,
      `import os,sys; os.rename(sys.argv[1], sys.argv[1] + ".was"); os.mkfifo(sys.argv[1])`,
      `${app}/app.pid`,
    );
    pidfile[Symbol.dispose]();
    expect(readdirSync(app).sort()).toEqual(["app.pid", "app.pid.was"]);
  });
});
