/** An identity is more than a uid: what belongs to the user of `--user`, and what hupwatch puts between can be used by it. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { APP, ground, hasPeople } from "../attack/people.ts";
import { asUser, NOBODY } from "../harness/another-user.ts";
import { freePort } from "../harness/free-port.ts";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { GUNICORNS } from "../setup/places.ts";

/** Root's own, as a shell of root's has them. */
const ROOTS = {
  HOME: "/root",
  USER: "root",
  LOGNAME: "root",
  SHELL: "/bin/bash",
  XDG_RUNTIME_DIR: "/run/user/0",
};
const ASKED = Object.keys(ROOTS);
/** Prints those variables and its user. */
const WHO = ["/bin/sh", "-c", `env | grep -E '^(${ASKED.join("|")})=' | sort; id`];

/** What a command says that runs to its end. */
function said(options: readonly string[], inside: readonly string[] = []): string {
  const words = [...inside, LAUNCHER, "-q", "--no-control", "--handover", "none", ...options, "--", ...WHO];
  const env = { PATH: process.env.PATH ?? "", HUPWATCH_BUN: process.execPath, ...ROOTS };
  const { stdout, stderr } = Bun.spawnSync(words, { env, cwd: "/", stdin: "ignore" });
  return `${stdout}${stderr}`;
}

describe.skipIf(!hasPeople)("--user", () => {
  // https://github.com/opf/openproject/pull/24608: setpriv does not touch HOME, gosu does.
  test("sets HOME, USER, LOGNAME and SHELL, and drops the caller's XDG_RUNTIME_DIR", () => {
    expect(said(["--user", "www-data"])).toBe(
      "HOME=/var/www\nLOGNAME=www-data\nSHELL=/usr/sbin/nologin\nUSER=www-data\n" +
        "uid=33(www-data) gid=33(www-data) groups=33(www-data)\n",
    );
  });

  test("but not where the env file does", () => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/env`, "HOME=/data\nXDG_RUNTIME_DIR=/data/run\n");
    const text = said(["--user", "33", "--env-file", `${dir.path}/env`]);
    expect(text).toStartWith("HOME=/data\nLOGNAME=www-data\n");
    expect(text).toContain("\nXDG_RUNTIME_DIR=/data/run\n");
  });

  test("without it, everything stays as it was", () => {
    expect(said([])).toStartWith(
      Object.entries(ROOTS)
        .map((entry) => `${entry.join("=")}\n`)
        .sort()
        .join(""),
    );
  });

  // https://github.com/moby/moby/issues/36210: "uid 12345 not found, --init-groups requires an user that can be found".
  test.each([
    [[], "uid=12345 gid=12345 groups=12345\n"],
    [["--group", "0"], "uid=12345 gid=0(root) groups=0(root)\n"],
  ])("a bare number needs no entry: %j", (group, ids) => {
    expect(said(["--user", "12345", ...group])).toBe(`HOME=/\n${ids}`);
  });

  // "getent does list it", and hupwatch said: no such user or group.
  test.skipIf(!hasUserDb())("a user that only the name service knows", () => {
    expect(said(["--user", "ldapuser"], inUserDb())).toBe(
      "HOME=/home/ldap\nLOGNAME=ldapuser\nSHELL=/bin/zsh\nUSER=ldapuser\n" +
        "uid=54321(ldapuser) gid=54322(ldapgroup) groups=54322(ldapgroup)\n",
    );
  });
});

/**
 * https://github.com/moby/moby/issues/19203: a log at /dev/stderr, where our stderr is a file that the user may write, or /dev/null. The
 * pipe between was root's.
 */
describe.skipIf(!hasPeople)("a log at /dev/stderr opens", () => {
  const setpriv = asUser(NOBODY, []);
  const chpst = ["chpst", "-u", "nobody:nogroup"];
  test.each([
    ["--user", ["--user", "nobody"], []],
    ["behind setpriv", [], setpriv],
    ["behind chpst, intercepted", ["--handover", "intercept"], chpst],
  ])("%s", async (_, options, front) => {
    using place = ground();
    const app = place.directory("app", APP);
    place.file("app/wsgi.py", APP, "def application(env, start):\n  start('200 OK', [])\n  return [b'ok']\n");
    const port = await freePort();
    const logs = ["--access-logfile", "/dev/stderr", "--error-logfile", "/dev/stderr"];
    const server = [GUNICORNS.debian, "wsgi:application", "-b", `127.0.0.1:${port}`, ...logs];
    const words = ["-k", "-v", ...options, "-b", `127.0.0.1:${port}`, "--", ...front, ...server];
    await using hupwatch = await startHupwatch(words, { cwd: app });
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("ok");
    await hupwatch.until(/"GET \/ HTTP/);
  });
});

/** systemd's name service module reads records from here, without a daemon (nss-systemd(8)). */
function inUserDb(): string[] {
  const user =
    '{"userName":"ldapuser","uid":54321,"gid":54322,"homeDirectory":"/home/ldap","shell":"/bin/zsh","disposition":"regular"}';
  const script = `mount -t tmpfs none /run && mkdir -m 755 /run/userdb && cd /run/userdb &&
    echo '${user}' > ldapuser.user && ln -s ldapuser.user 54321.user &&
    echo '{"groupName":"ldapgroup","gid":54322}' > ldapgroup.group && ln -s ldapgroup.group 54322.group &&
    cd / && exec "$@"`;
  return ["unshare", "-m", "/bin/sh", "-c", script, "sh"];
}

function hasUserDb(): boolean {
  return Bun.spawnSync([...inUserDb(), "getent", "passwd", "ldapuser"], {
    stdio: ["ignore", "ignore", "ignore"],
  }).success;
}
