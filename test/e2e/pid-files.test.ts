/**
 * Pid files, control sockets and state files that two copies of a server would fight over: after every swap, good or rolled back, the
 * pid file leads to a living process that does the right thing, and what belongs to the serving generation is there.
 */
import { test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { BIN_RAILS, RAILS_APPLICATION, RAILS_ENVIRONMENT } from "../setup/rails-app.ts";
import { newest } from "../setup/server-row.ts";
import { SERVERS } from "../setup/servers.ts";

const RACK = `run lambda { |e| [200, {"content-type" => "text/plain"}, ["ok"]] }\n`;
const BROKEN_RACK = 'raise "a broken release"\n';
const WSGI =
  'def application(env, start):\n    start("200 OK", [("Content-Length", "2")])\n    return [b"ok"]\n';
const ASGI = `async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
`;
const BROKEN_PYTHON = 'raise RuntimeError("a broken release")\n';
const PHP_FPM = SERVERS.find(({ name }) => name.startsWith("php-fpm"))?.program ?? "";

interface Row {
  name: string;
  program: string;
  /** Files below the directory; DIR stands for it, PORT for a free port. */
  files: Record<string, string>;
  words: string[];
  /** Of the program and what runs it, where that is not the program alone. */
  run?: string[];
  options?: string[];
  /** What a broken release has in it; left out where nothing that is deployed can break it. */
  broken?: Record<string, string>;
  pidfile: string;
  /** What each generation has of its own, GEN for its number. */
  own?: string[];
}

const ROWS: Row[] = [
  {
    // https://github.com/puma/puma/issues/2476
    name: "puma: pid file, state file and control app of config/puma.rb",
    program: "/usr/bin/puma",
    files: {
      "config.ru": RACK,
      "config/puma.rb": `d = File.expand_path("..", __dir__)
bind "unix://#{d}/app.sock"
pidfile "#{d}/server.pid"
state_path "#{d}/server.state"
activate_control_app "unix://#{d}/ctl.sock", { no_token: true }
workers 2
preload_app!
`,
    },
    words: [],
    broken: { "config.ru": BROKEN_RACK },
    pidfile: "server.pid",
    own: ["server.pid.GEN", "server.state.GEN", "ctl.sock.GEN"],
  },
  {
    name: "puma: the pid file that rails new writes",
    program: "/usr/bin/puma",
    files: {
      "config.ru": RACK,
      "config/puma.rb": 'port PORT\npidfile ENV.fetch("PIDFILE") { "tmp/pids/server.pid" }\n',
      "tmp/pids/.keep": "",
    },
    words: [],
    pidfile: "tmp/pids/server.pid",
    own: ["tmp/pids/server.pid.GEN"],
  },
  {
    // "A server is already running. Check tmp/pids/server.pid": no swap of a Rails could ever succeed.
    name: "Rails: server.pid, and the same in the config/puma.rb that rails new writes",
    program: "/usr/bin/rails",
    files: {
      "bin/rails": BIN_RAILS,
      "config.ru": 'require_relative "config/environment"\nrun Rails.application\n',
      "config/environment.rb": RAILS_ENVIRONMENT,
      "config/application.rb": RAILS_APPLICATION,
      "config/routes.rb": `Rails.application.routes.draw do
  root to: proc { |_| [200, { "content-type" => "text/plain" }, ["ok\\n"]] }
end
`,
      "config/puma.rb": 'pidfile ENV.fetch("PIDFILE") { "tmp/pids/server.pid" }\n',
      "tmp/pids/.keep": "",
    },
    run: ["/usr/bin/ruby", "bin/rails"],
    words: ["server", "-b", "127.0.0.1", "-p", "PORT", "-e", "production"],
    options: ["-b", "127.0.0.1:PORT"],
    pidfile: "tmp/pids/server.pid",
    own: ["tmp/pids/server.pid.GEN"],
  },
  {
    // https://github.com/sosedoff/capistrano-unicorn/pull/26
    name: "unicorn: pid, listen and before_fork of unicorn.rb",
    program: "/usr/bin/unicorn",
    files: {
      "config.ru": RACK,
      "unicorn.rb": `worker_processes 2
working_directory "DIR"
listen "DIR/app.sock", :backlog => 64
pid "DIR/unicorn.pid"
preload_app true
before_fork do |server, worker|
  old = "#{server.config[:pid]}.oldbin"
  Process.kill("QUIT", File.read(old).to_i) if File.exist?(old)
end
`,
    },
    words: ["-c", "DIR/unicorn.rb"],
    broken: { "config.ru": BROKEN_RACK },
    pidfile: "unicorn.pid",
    own: ["unicorn.pid.GEN"],
  },
  {
    name: "uWSGI: pidfile and stats of an ini that binds by itself",
    program: "/usr/bin/uwsgi",
    files: {
      "wsgi.py": WSGI,
      "app.ini": `[uwsgi]
plugin = python3
http-socket = %d%n.sock
module = wsgi:application
master = true
processes = 2
vacuum = true
die-on-term = true
need-app = true
pidfile = DIR/uwsgi.pid
stats = DIR/stats.sock
`,
    },
    words: ["--ini", "app.ini"],
    broken: { "wsgi.py": BROKEN_PYTHON },
    pidfile: "uwsgi.pid",
    own: ["uwsgi.pid.GEN", "stats.sock.GEN"],
  },
  {
    name: "hypercorn: --pid",
    program: newest("hypercorn"),
    files: { "asgi.py": ASGI },
    words: ["asgi:app", "-b", "unix:DIR/app.sock", "--pid", "h.pid"],
    broken: { "asgi.py": BROKEN_PYTHON },
    pidfile: "h.pid",
    own: ["h.pid.GEN"],
  },
  {
    // https://github.com/php/php-src/pull/3758
    name: "php-fpm: a pool as Debian has it",
    program: PHP_FPM,
    files: {
      "fpm.conf": `[global]
pid = DIR/fpm.pid
error_log = /proc/self/fd/2
[www]
user = www-data
group = www-data
listen = DIR/fpm.sock
listen.owner = www-data
listen.group = www-data
pm = ondemand
pm.max_children = 2
`,
    },
    words: ["-F", "-y", "DIR/fpm.conf"],
    broken: { "fpm.conf": "[global]\nnonsense\n" },
    pidfile: "fpm.pid",
  },
  {
    // https://github.com/RunestoneInteractive/RunestoneServer/issues/1946
    name: "nginx: pid of nginx.conf",
    program: "/usr/sbin/nginx",
    files: {
      "nginx.conf": `pid DIR/nginx.pid;
error_log stderr;
events {}
http { access_log DIR/access.log; client_body_temp_path DIR/body; server { listen 127.0.0.1:PORT; return 200 ok; } }
`,
    },
    words: ["-c", "DIR/nginx.conf", "-g", "daemon off;", "-e", "stderr"],
    options: ["-b", "127.0.0.1:PORT"],
    broken: { "nginx.conf": "nonsense\n" },
    pidfile: "nginx.pid",
  },
];

test.each(ROWS.map((row) => [row.name, row] as const))(
  "%s",
  async (_, { program, files, words, run = [program], options = [], broken, pidfile, own = [] }) => {
    if (!existsSync(program)) throw new Error(`${program} is not installed: bun run setup`);
    using dir = tempDir();
    const port = await freePort();
    const placed = (text: string) => text.replaceAll("DIR", dir.path).replaceAll("PORT", `${port}`);
    const put = (all: Record<string, string>) => {
      for (const [name, text] of Object.entries(all)) {
        mkdirSync(`${dir.path}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
        writeFileSync(`${dir.path}/${name}`, placed(text));
      }
    };
    put(files);
    const command = [...run, ...words.map(placed)];
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0.2", ...options.map(placed), "--", ...command],
      {
        cwd: dir.path,
        env: { PYTHONDONTWRITEBYTECODE: "1" },
      },
    );
    const leadsTo = () =>
      existsSync(`${dir.path}/${pidfile}`) && readFileSync(`${dir.path}/${pidfile}`, "utf8").trim();
    const isRight = async (generation: number) => {
      await until(() => leadsTo() === `${hupwatch.pid}`, {
        what: "the pid file",
        context: () => `${leadsTo()}`,
      });
      // A server may write them after it has begun to listen.
      for (const name of own.map((each) => each.replace("GEN", `${generation}`)))
        await until(() => existsSync(`${dir.path}/${name}`), { what: name, context: () => hupwatch.log });
    };
    await isRight(1);
    // By the file, as scripts do.
    process.kill(Number(leadsTo()), "SIGHUP");
    await hupwatch.until(LOG.serves(2));
    await hupwatch.until(LOG.gone(1));
    await isRight(2);
    if (broken === undefined) return;
    put(broken);
    hupwatch.hup();
    await hupwatch.until(LOG.rolledBack);
    await hupwatch.until(LOG.gone(3));
    await isRight(2);
    put(files);
    hupwatch.hup();
    await hupwatch.until(LOG.serves(4));
    await hupwatch.until(LOG.gone(2));
    await isRight(4);
  },
  120_000,
);
