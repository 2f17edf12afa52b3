/**
 * A command whose binds are seen, below a hupwatch of root: it gets no address and no file by it that it could not have had, and whatever it says to
 * the keeper by its calls, or a keeper to hupwatch, neither of them fails by it.
 */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { asUser } from "../harness/another-user.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { PYTHON } from "../setup/places.ts";
import { APP, ground, hasPeople, pythonAs, runAs, STRANGER } from "./people.ts";

const WORDS = ["-k", "-w", "0", "--handover", "intercept"];

/** Says what each call is answered: "0", or the errno; then listens at `last` and answers with its generation. */
const TRIES = `
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
mine, others, port, last = sys.argv[1:]
def told(what, call):
    try:
        call()
        print(what, 0)
    except OSError as error:
        print(what, error.errno)
def raw(what, name, *words):
    ctypes.set_errno(0)
    print(what, ctypes.get_errno() if getattr(libc, name)(*words) < 0 else 0)
def unix(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)
def tcp(port, *options):
    s = socket.socket()
    for option in options: s.setsockopt(socket.SOL_SOCKET, option, 1)
    s.bind(("127.0.0.1", port))
    s.listen(1)
# Rights.
told("port 81", lambda: tcp(81))
told("a port of a stranger's", lambda: tcp(int(port)))
told("that port with SO_REUSEPORT", lambda: tcp(int(port), socket.SO_REUSEPORT))
told("a path in another's directory", lambda: unix(others + "/app.sock"))
told("over another's file", lambda: unix(others + "/file"))
told("unlink of another's file", lambda: os.unlink(others + "/file"))
told("chmod of another's file", lambda: os.chmod(others + "/file", 0o777))
told("chown of another's file", lambda: os.chown(others + "/file", os.getuid(), os.getgid()))
told("rename of another's file", lambda: os.rename(others + "/file", mine + "/stolen"))
os.symlink(others, mine + "/link")
told("a path through a link", lambda: unix(mine + "/link/app.sock"))
# Odd calls.
s = socket.socket()
number = s.fileno()
page = ctypes.create_string_buffer(b"\\xff" * 5000)
raw("bind of no address", "bind", number, None, 16)
raw("bind of a bad pointer", "bind", number, ctypes.c_void_p(8), 16)
raw("bind of length 0", "bind", number, page, 0)
raw("bind of length 5000", "bind", number, page, 5000)
raw("bind of length -1", "bind", number, page, -1)
raw("bind of garbage", "bind", number, page, 28)
raw("bind of what is no socket", "bind", os.open("/dev/null", os.O_RDWR), page, 16)
raw("bind of what is not open", "bind", 999, page, 16)
raw("listen of what is not open", "listen", -1, 5)
raw("option of a bad pointer", "setsockopt", number, 6, 9, ctypes.c_void_p(8), 4)
raw("option of length 1000000", "setsockopt", number, 6, 9, page, 1000000)
raw("option of length -5", "setsockopt", number, 1, 7, page, -5)
raw("unlink of a bad pointer", "unlink", ctypes.c_void_p(8))
raw("unlink of 5000 bytes", "unlink", page)
raw("unlink of nothing", "unlink", b"")
raw("unlinkat of a bad directory", "unlinkat", 999, b"x", 0)
raw("chmod of a bad pointer", "chmod", ctypes.c_void_p(8), 0o777)
raw("connect of garbage", "connect", number, page, 110)
raw("connect of a bad pointer", "connect", number, ctypes.c_void_p(8), 110)
print("tried", flush=True)
if last:
    s = socket.socket()
    s.bind(("127.0.0.1", int(last)))
    s.listen(64)
    while True:
        c, _ = s.accept()
        c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 1\\r\\n\\r\\n" + os.environ["HUPWATCH_GENERATION"].encode())
        c.close()
`;

test.skipIf(!hasPeople)(
  "whatever an intercepted command tries, it is answered as without hupwatch (needs root)",
  async () => {
    using place = ground();
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const others = place.directory("others", STRANGER);
    const file = place.file("others/file", STRANGER, "theirs", 0o644);
    const words = (mine: string, last: string) =>
      asUser(APP, [PYTHON, "-c", TRIES, mine, others, `${taken.port}`, last]);
    const plain = runAs(APP, words(place.directory("plain", APP), "").slice(-7));
    expect(plain.stdout).toContain("tried");

    const last = await freePort();
    await using hupwatch = await startHupwatch(
      [...WORDS, "--", ...words(place.directory("mine", APP), `${last}`)],
      { cwd: "/tmp" },
    );
    await hupwatch.until(new RegExp(`127.0.0.1:${last}: held from now on`));
    expect(hupwatch.output).toBe(plain.stdout);
    expect(readFileSync(file, "utf8")).toBe("theirs");
    expect(statSync(file)).toMatchObject(STRANGER);
    expect(await (await fetch(`http://127.0.0.1:${last}/`)).text()).toBe("1");
    taken.stop();

    // The kernel lets a user into a group of its own only: a stranger shares no port that was learned, nor does the command's own user.
    const joins = `
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
try:
    s.bind(("127.0.0.1", int(sys.argv[1])))
    print("joined")
except OSError as error:
    print(error.errno)`;
    for (const person of [STRANGER, APP]) expect(pythonAs(person, joins, `${last}`)).toBe("98");
  },
  120_000,
);

const SERVES = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind("app.sock")
s.listen(64)
while True:
    s.accept()[0].close()
`;

// Its user may put there what it likes between two generations; root would rename and unlink in the place of it.
test.skipIf(!hasPeople)(
  "a learned path whose directory has become a link leads root nowhere (needs root)",
  async () => {
    using place = ground();
    const mine = place.directory("app", APP);
    mkdirSync(`${mine}/run`);
    Bun.spawnSync(["chown", `${APP.uid}`, `${mine}/run`]);
    const victim = place.directory("victim", STRANGER);
    const file = place.file("victim/app.sock", STRANGER, "theirs");
    await using hupwatch = await startHupwatch(
      [...WORDS, "--", ...asUser(APP, ["sh", "-c", `cd ${mine}/run; exec ${PYTHON} -c '${SERVES}'`])],
      { cwd: "/tmp" },
    );
    await hupwatch.until(/app.sock: held from now on/);
    renameSync(`${mine}/run`, `${mine}/away`);
    symlinkSync(victim, `${mine}/run`);
    Bun.spawnSync(["chown", "-h", `${APP.uid}`, `${mine}/run`]);
    hupwatch.hup();
    await hupwatch.until(LOG.rolledBack);
    expect(readFileSync(file, "utf8")).toBe("theirs");
    expect(statSync(file)).toMatchObject(STRANGER);
    hupwatch.signal("SIGQUIT");
    await hupwatch.exited;
    expect(readFileSync(file, "utf8")).toBe("theirs");
  },
  120_000,
);

const CHMODS = `
import os
try:
    os.chmod("app.sock", 0o777)
    print("changed", flush=True)
except OSError as error:
    print("refused", error.errno, flush=True)
`;

// The keeper does it by the rights of root, on behalf of any process below it.
test.skipIf(!hasPeople)(
  "a process of another user below the command does not change the mode of its socket (needs root)",
  async () => {
    using place = ground();
    const mine = place.directory("app", APP);
    const other = JSON.stringify(asUser(STRANGER, [PYTHON, "-c", CHMODS]));
    const program = `${SERVES.replace("while", `import subprocess\nsubprocess.run(${other})\nwhile`)}`;
    writeFileSync(`${place.path}/serve.py`, program);
    await using hupwatch = await startHupwatch([...WORDS, "--", PYTHON, `${place.path}/serve.py`], {
      cwd: mine,
    });
    await hupwatch.until(/refused 1$/m, { stream: "output" });
    await hupwatch.until(/held from now on/);
    expect(statSync(`${mine}/app.sock`).mode & 0o777).not.toBe(0o777);
  },
  120_000,
);
