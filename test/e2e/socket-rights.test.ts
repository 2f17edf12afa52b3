/** A Unix socket has the owner and the mode that it has without hupwatch, server by server and option by option; and a user that could connect still can. */
import { expect, test } from "bun:test";
import { chmodSync, cpSync, existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { asUser } from "../harness/another-user.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startPlain } from "../harness/plain.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";
import { BUILT, GUNICORNS, isThere, PYTHON, ROOT } from "../setup/places.ts";
import { newest } from "../setup/server-row.ts";
import { SERVERS } from "../setup/servers.ts";

const IS_ROOT = process.getuid?.() === 0;
/** Debian's www-data, as which nginx connects. */
const WWW = { uid: 33, gid: 33 };
const PHP_FPM = SERVERS.find(({ name }) => name.startsWith("php-fpm"))?.program ?? "";

const uwsgi = (...words: string[]) => [
  ...["/usr/bin/uwsgi", "--plugin", "python3", "--master", "--wsgi-file", "wsgi.py"],
  ...["--http-socket", "SOCKET", ...words],
];
const puma = (query: string) => ["/usr/bin/puma", "-b", `unix://SOCKET${query}`, "config.ru"];
const hypercorn = (...words: string[]) => [
  newest("hypercorn"),
  "asgi:application",
  "-b",
  "unix:SOCKET",
  ...words,
];
const gunicorn = (...words: string[]) => [
  GUNICORNS.pypi,
  "wsgi:application",
  "-b",
  "unix:SOCKET",
  ...["--worker-tmp-dir", "/dev/shm", ...words],
];
const INI =
  "[uwsgi]\nplugin = python3\nmaster = true\nwsgi-file = wsgi.py\nsocket = SOCKET\nchmod-socket = 660\nuid = www-data\n";
const pool = (listen: string) => `[global]
error_log = /proc/self/fd/2
[www]
user = www-data
group = www-data
listen = ${listen}
listen.owner = www-data
listen.group = www-data
pm = ondemand
pm.max_children = 2
`;

const NGINX_CONFIG = `daemon off;
pid DIR/nginx.pid;
error_log stderr;
events {}
http { access_log off; client_body_temp_path DIR/body; server { listen unix:SOCKET; return 200 ok; } }
`;
const HAPROXY_CONFIG = `defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend f
  bind unix@SOCKET mode 660 user www-data group www-data
  http-request return status 200
`;

/** Those that no adapter reads an address from: it is learned. */
const BINDS_BY_ITSELF = /node.mjs|fetch.ts|nginx.conf|haproxy.cfg/;

/** SOCKET stands for the path. Beside it what is measured: owner, group, mode. */
const ROWS: [words: string[], rights: string][] = [
  [uwsgi("--chmod-socket=660", "--chown-socket=www-data:www-data"), "33:33 660"],
  [uwsgi("--chown-socket", "www-data"), "33:0 755"],
  [uwsgi("--chmod-socket"), "0:0 666"],
  [uwsgi("--chmod=660"), "0:0 660"],
  [uwsgi("-C660"), "0:0 660"],
  [uwsgi("--umask", "007"), "0:0 770"],
  [uwsgi("--uid", "www-data", "--gid", "www-data"), "33:33 755"],
  [["/usr/bin/uwsgi", "--ini", "app.ini"], "33:0 660"],
  [["/usr/bin/unicorn", "-l", "SOCKET", "config.ru"], "0:0 777"],
  [["/usr/bin/unicorn", "-c", "unicorn.rb", "config.ru"], "0:0 770"],
  [puma(""), "0:0 777"],
  [puma("?umask=0007"), "0:0 770"],
  [puma("?mode=0600"), "0:0 600"],
  [hypercorn("-u", "33", "-g", "33"), "33:33 755"],
  [hypercorn("-u", "33"), "0:0 755"],
  [hypercorn("-m", "7"), "0:0 770"],
  [gunicorn("-m", "007", "--group", "www-data"), "0:33 770"],
  [gunicorn("--user", "www-data"), "33:0 777"],
  [[newest("daphne"), "-u", "SOCKET", "asgi:application"], "0:0 666"],
  [[newest("uvicorn"), "--uds", "SOCKET", "asgi:application"], "0:0 666"],
  [
    [newest("waitress-serve"), "--unix-socket=SOCKET", "--unix-socket-perms=660", "wsgi:application"],
    "0:0 660",
  ],
  [uwsgi(), "0:0 755"],
  [gunicorn(), "0:0 777"],
  [[GUNICORNS.debian, "wsgi:application", "-b", "unix:SOCKET"], "0:0 777"],
  [[newest("waitress-serve"), "--unix-socket=SOCKET", "wsgi:application"], "0:0 600"],
  [[newest("cheroot"), "wsgi:application", "--bind", "SOCKET"], "0:0 755"],
  [[newest("granian"), "--interface", "asgi", "--uds", "SOCKET", "asgi:application"], "0:0 755"],
  [["node", "node.mjs", "SOCKET"], "0:0 755"],
  [[process.execPath, "fetch.ts", "SOCKET"], "0:0 755"],
  [[BUILT.deno, "run", "-A", "fetch.ts", "SOCKET"], "0:0 755"],
  [["/usr/sbin/nginx", "-c", "DIR/nginx.conf", "-e", "stderr"], "0:0 666"],
  [["/usr/sbin/haproxy", "-W", "-f", "DIR/haproxy.cfg"], "33:33 660"],
  [[PHP_FPM, "-F", "-y", "DIR/fpm.conf"], "33:33 660"],
  [[PHP_FPM, "-F", "-y", "DIR/handed.conf"], "33:33 660"],
];

/** As www-data: whether it may connect, by the errno. */
const CONNECT = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
print(os.strerror(s.connect_ex(sys.argv[1])))
`;

async function rightsOf(path: string): Promise<string> {
  const connect = () => {
    return `${Bun.spawnSync(asUser(WWW, [PYTHON, "-c", CONNECT, path])).stdout}`.trim();
  };
  // Plain, it is bound before it listens, and changed after.
  const seen = await until(
    () => {
      if (!existsSync(path)) return undefined;
      const before = shown(path);
      const said = connect();
      return said === "Connection refused" || before !== shown(path) ? undefined : `${before}, ${said}`;
    },
    { everyMs: 50, what: `a listener at ${path}` },
  );
  return seen;
}

function shown(path: string): string {
  const { uid, gid, mode } = statSync(path);
  return `${uid}:${gid} ${(mode & 0o777).toString(8)}`;
}

// https://uwsgi-docs.readthedocs.io/en/latest/Options.html#chown-socket; nginx's "13: Permission denied" is a 502 for every client.
for (const [words, rights] of ROWS) {
  const [program = ""] = words;
  test.skipIf(!IS_ROOT || !isThere(program)).concurrent(
    `${words.map((word) => word.replace(/^\/.*\//, "")).join(" ")}: ${rights} (needs root and ${program})`,
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      chmodSync(dir.path, 0o755);
      const path = `${dir.path}/app.sock`;
      const placed = (text: string) => text.replaceAll("SOCKET", path).replaceAll("DIR", dir.path);
      for (const app of ["wsgi.py", "asgi.py", "config.ru", "node.mjs", "fetch.ts"])
        cpSync(`${ROOT}/fixtures/apps/${app}`, `${dir.path}/${app}`);
      // As the user that uWSGI becomes it is bound.
      chmodSync(dir.path, 0o777);
      for (const [name, text] of Object.entries({
        ...{ VERSION: "1\n", "app.ini": INI, "fpm.conf": pool("SOCKET") },
        ...{ "unicorn.rb": 'listen "SOCKET", :umask => 0007\n' },
        ...{ "nginx.conf": NGINX_CONFIG, "haproxy.cfg": HAPROXY_CONFIG },
      }))
        writeFileSync(`${dir.path}/${name}`, placed(text));
      writeFileSync(`${dir.path}/handed.conf`, pool("$" + "{HUPWATCH_SOCKET}"));
      const command = words.map(placed);
      const env = { PYTHONPATH: dir.path, PYTHONDONTWRITEBYTECODE: "1", HUPWATCH_SOCKET: path };
      const plain = await (async () => {
        await using _plain = startPlain(command, { cwd: dir.path, env });
        return await rightsOf(path);
      })();
      rmSync(path, { force: true });
      const options = words.includes("DIR/handed.conf")
        ? ["-b", `unix:${path}`]
        : BINDS_BY_ITSELF.test(words.join(" "))
          ? ["--handover", "intercept"]
          : [];
      await using _hupwatch = await startHupwatch(["-k", ...options, "--", ...command], {
        ...{ cwd: dir.path, env },
      });
      const below = await rightsOf(path);
      expect({ plain, below }).toEqual({ plain: expect.stringContaining(rights), below: plain });
    },
    TURN_TIMEOUT_MS,
  );
}
