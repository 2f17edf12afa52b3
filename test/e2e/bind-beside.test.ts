/** Servers that bind a Unix socket beside its path and rename it there: the path never leads to what hupwatch does not hold. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { PYTHON } from "../setup/places.ts";

const WORDS = ["-k", "-w", "0.2", "--handover", "intercept"];

/** Its words: the name beside and the path. */
const SERVES = `
import os, re, socket, sys, threading
beside, path = sys.argv[1].replace("PID", str(os.getpid())), sys.argv[2]
s = socket.socket(socket.AF_UNIX)
if os.path.exists(beside): os.unlink(beside)
s.bind(beside)
os.chmod(beside, 0o622)
os.rename(beside, path)
s.listen(64)
def answer(c):
    asked = c.recv(65536).decode()
    known = re.search("x-request-id: *(\\\\S+)", asked, re.I)
    c.sendall(("HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\nX-Version: %s\\r\\nX-Request-Id: %s\\r\\n\\r\\n"
               % (os.environ["HUPWATCH_GENERATION"], known.group(1) if known else "")).encode())
    c.close()
while True:
    threading.Thread(target=answer, args=(s.accept()[0],)).start()
`;

const PYTHONS = (beside: string, at: string) => [PYTHON, "-c", SERVES, beside, at];

const HAPROXY = (at: string) => `
global
  log stderr local0 err
defaults
  mode http
  timeout client 10s
  timeout connect 10s
  timeout server 10s
frontend all
  bind ${at} mode 622
  http-request return status 200 content-type text/plain hdr X-Version "%[env(HUPWATCH_GENERATION)]" hdr X-Request-Id "%[req.hdr(x-request-id)]" string hello
`;

const hasHaproxy = Bun.which("haproxy") !== null;

interface Case {
  name: string;
  isThere?: boolean;
  isHeld?: boolean;
  words(at: string, dir: string): string[];
}

const CASES: Case[] = [
  { name: "with its pid in the name, learned", words: (at) => PYTHONS(`${at}.PID.tmp`, at) },
  { name: "with a name that lasts, learned", words: (at) => PYTHONS(`${at}.tmp`, at) },
  { name: "onto a path of --bind", isHeld: true, words: (at) => PYTHONS(`${at}.PID.tmp`, at) },
  {
    name: "HAProxy behind a shell that stays, learned (needs haproxy)",
    isThere: hasHaproxy,
    words: (at, dir) => {
      writeFileSync(`${dir}/haproxy.cfg`, HAPROXY(at));
      return ["sh", "-c", `haproxy -db -f ${dir}/haproxy.cfg; exit $?`];
    },
  },
];

// "A server that binds beside the held path and renames takes the path with it": each swap was an outage, or rolled back for ever.
for (const { name, isThere = true, isHeld = false, words } of CASES)
  test.skipIf(!isThere)(
    `binds beside and renames, ${name}: two swaps, nothing dropped`,
    async () => {
      using dir = tempDir();
      using place = tempDir();
      const at = `${place.path}/app.sock`;
      const bind = isHeld ? ["-b", `unix:${at}`] : [];
      await using hupwatch = await startHupwatch([...WORDS, ...bind, "--", ...words(at, dir.path)], {
        cwd: dir.path,
      });
      if (!isHeld) await hupwatch.until(new RegExp(`generation 1 listens at unix:${at}: held from now on`));
      await using load = await startLoad({ target: `unix:${at}`, rate: 100, afterFirstOk: true });
      for (const generation of [2, 3]) {
        await hupwatch.swap(generation);
        await load.version(`${generation}`);
        expect(statSync(at).mode & 0o777).toBe(0o622);
      }
      expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
      expect(hupwatch.log).not.toMatch(/taken|put back|intercept.trouble/);
      // One generation's hidden name, and nothing that was bound beside.
      expect(readdirSync(place.path).filter((entry) => /tmp|bak/.test(entry))).toEqual([]);
      hupwatch.signal("SIGTERM");
      await hupwatch.exited;
      expect(existsSync(at)).toBe(false);
    },
    120_000,
  );
