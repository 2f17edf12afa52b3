/**
 * The rows of the table. Each has its server at the pool that the others have it at, and does what its own manual says of a
 * reload that drops nothing: what is compared is the best that it offers.
 */
import type { ServerRow } from "../../setup/server-row.ts";
import { SERVERS } from "../../setup/servers.ts";
import { EINHORN, PM2, PYPI, START_SERVER } from "./installed.ts";
import type { NotHere, Rival, Site } from "./rival.ts";

const serverNamed = (name: string): ServerRow => {
  const found = SERVERS.find((row) => row.name === name);
  if (!found) throw new Error(`test/setup/servers.ts has no '${name}'`);
  return found;
};

function withWords(server: ServerRow, ...words: string[]): ServerRow {
  return { ...server, command: (place) => [...server.command(place), ...words] };
}

function withThreads(server: ServerRow): ServerRow {
  return {
    ...server,
    command: (place) => [server.program, "-t", "32:32", ...server.command(place).slice(1)],
  };
}

/** It closes a kept connection that is idle for two seconds, which under load is a race of its own and no reload's. */
const GUNICORN = withWords(serverNamed("gunicorn (newest), gthread"), "--keep-alive", "75");
const SYNC = serverNamed("gunicorn (newest), sync");
const UWSGI = serverNamed("uWSGI, threads");
const UVICORN = serverNamed("uvicorn (newest), 2 workers");
/** A kept connection has a thread for 0.2 s after each answer (puma 5.6): with five of them new ones starve, reload or not. */
const PUMA = withThreads(serverNamed("puma, 2 workers"));
const GRANIAN = serverNamed("granian (newest)");
const NODE = serverNamed("Node.js");
const NGINX = serverNamed("nginx");
const HAPROXY = serverNamed("HAProxy");

/** uWSGI's --http-socket ends each connection after its answer; nginx and HAProxy have no app behind them that takes a POST. */
function modesOf(server: ServerRow): Pick<Rival, "modes"> {
  if (server === UWSGI) return { modes: "fresh" };
  return server.plain ? { modes: "fresh,keepalive" } : {};
}

const HUP = "kill -HUP $ROOT";

/** As it comes: no option but what the server needs, and those that the row is about. */
const hupwatch = (server: ServerRow, transport: Rival["transport"], ...options: string[]): Rival => ({
  ...{
    name: ["hupwatch", ...options].join(" "),
    server: server.name,
    isHupwatch: true,
    transport,
    wraps: true,
  },
  ...{ needs: [server.program], ...modesOf(server) },
  prepare: (site) => server.deploy?.(site, "0"),
  command: (site) => [
    ...[
      site.launcher,
      "--run-dir",
      `${site.directory}/run`,
      ...options,
      ...(server.options?.(site) ?? []),
      "--",
    ],
    ...server.command(site),
  ],
  reload: (site) => `${server === NGINX ? NGINX_VERSION(site) : ":"} && ${HUP}`,
});

/** The server alone, asked by `reload`. */
const alone = (
  name: string,
  server: ServerRow,
  transport: Rival["transport"],
  more: readonly string[],
  reload: string,
): Rival => ({
  ...{ name, server: server.name, transport, needs: [server.program], ...modesOf(server) },
  command: (site) => [...server.command(site), ...more],
  reload: () => reload,
});

const FIRST = "hupwatch 0.0.3 (2016)";
const first = (name: string, transport: Rival["transport"], ...more: string[]): Rival => ({
  ...{ name, server: GUNICORN.name, transport, wraps: true },
  needs: [GUNICORN.program, PYPI.hupwatch],
  command: (site) => [PYPI.hupwatch, "--", ...GUNICORN.command(site), ...more],
  reload: () => HUP,
});

/** Where it binds nothing by itself. */
const gunicornOn = (bind: string): string =>
  GUNICORN.command({ directory: "", transport: "tcp", at: bind }).join(" ");

const serverStarter: Rival = {
  ...{ name: "Server::Starter", server: GUNICORN.name, transport: "tcp", wraps: true },
  needs: [GUNICORN.program, START_SERVER],
  command: ({ at }) => [
    ...[START_SERVER, `--port=${at}`, "--", "sh", "-c"],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's: HOST:PORT=FD
    `exec ${gunicornOn("fd://${SERVER_STARTER_PORT##*=}")}`,
  ],
  reload: () => HUP,
};

const circus: Rival = {
  ...{ name: "circus, shared socket", server: GUNICORN.name, transport: "tcp", wraps: true },
  needs: [GUNICORN.program, PYPI.circusd, PYPI.circusctl],
  prepare: ({ directory, port }) =>
    void Bun.write(
      `${directory}/circus.ini`,
      `[circus]
endpoint = ipc://${directory}/ctl
pubsub_endpoint = ipc://${directory}/pub
[watcher:web]
cmd = ${gunicornOn("fd://$(circus.sockets.web)")}
use_sockets = True
copy_env = True
graceful_timeout = 30
[socket:web]
host = 127.0.0.1
port = ${port}
`,
    ),
  command: ({ directory }) => [PYPI.circusd, "--log-level", "error", `${directory}/circus.ini`],
  reload: ({ directory }) => `${PYPI.circusctl} --endpoint ipc://${directory}/ctl reload web`,
};

/** What systemd runs as the first process, in namespaces and a cgroup of its own. docs.gunicorn.org, "Deploying Gunicorn", has the units. */
const SYSTEMD = "/lib/systemd/systemd";
const UNITS: Record<string, (site: Site) => string> = {
  // Nothing else is started: no login, no journal.
  "rival.target": () => "[Unit]\nAllowIsolate=yes\nRequires=app.service\n",
  "app.socket": ({ at }) => `[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=${at}\nBacklog=4096\n`,
  "app.service": ({ directory }) => `[Unit]
DefaultDependencies=no
Requires=app.socket
After=app.socket
[Service]
Type=notify
ExecStart=${gunicornOn("").replace(" --bind ", "")}
WorkingDirectory=${directory}
Environment=VERIFY_LEDGER=${directory}/ledger
StandardOutput=file:${directory}/app.log
StandardError=inherit
KillMode=mixed
TimeoutStopSec=30
`,
};
const BOOT = ({ directory }: Site) => `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/systemd/system
mkdir -p /run/systemd/system
cp ${directory}/app.* ${directory}/rival.target /run/systemd/system/
exec env -i container=rival PATH="$PATH" ${SYSTEMD} --system --unit=rival.target --show-status=no --log-target=null
`;
const CGROUP = "hupwatch-rival";
const START = ({ directory }: Site) => `
for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  [ -w $root/cgroup.procs ] || continue
  find $root/${CGROUP} -depth -type d -exec rmdir {} + 2>/dev/null
  mkdir -p $root/${CGROUP} && echo $$ > $root/${CGROUP}/cgroup.procs
done
unshare --pid --mount --cgroup --uts --ipc --fork --kill-child --mount-proc sh ${directory}/boot.sh &
parent=$!
until child=$(cat /proc/$parent/task/$parent/children) && [ -n "$child" ]; do sleep 0.05; done
echo $child > systemd.pid
wait`;
const systemctl: Rival = {
  ...{ name: "systemctl restart with a socket unit", server: GUNICORN.name, transport: "tcp" },
  needs: [GUNICORN.program, SYSTEMD, "unshare", "nsenter"],
  async prepare(site) {
    for (const [name, unit] of Object.entries(UNITS))
      await Bun.write(`${site.directory}/${name}`, unit(site));
    await Bun.write(`${site.directory}/boot.sh`, BOOT(site));
    await Bun.write(`${site.directory}/start.sh`, START(site));
  },
  command: () => ["sh", "start.sh"],
  rootFile: ({ directory }) => `${directory}/systemd.pid`,
  reload: () => "nsenter --target $ROOT --mount --pid --cgroup systemctl restart app.service",
};

const gunicornHup = alone("its own HUP", GUNICORN, "tcp", [], HUP);

/** docs.gunicorn.org, "Upgrading to a new binary on the fly": USR2, and TERM once the new one is up, which is for the user to know. */
const gunicornUsr2: Rival = {
  ...alone("its own USR2, then TERM", GUNICORN, "tcp", [], ""),
  command: (site) => [...GUNICORN.command(site), "--pid", "gunicorn.pid"],
  rootFile: ({ directory }) => `${directory}/gunicorn.pid`,
  reload: () =>
    "kill -USR2 $ROOT; while [ ! -s gunicorn.pid.2 ]; do sleep 0.05; done; sleep 1; kill -WINCH $ROOT; kill -TERM $ROOT",
  over: () => "gone $ROOT && [ ! -e gunicorn.pid.2 ]",
};

/**
 * What docker-rollout does, without Docker: two copies at addresses of their own, nginx in front, which is told which one,
 * reloaded, and then the old one is stopped.
 */
const SWAP = (site: Site) => `
next=$1
echo server unix:$PWD/app$next.sock\\; > upstream.conf.new
${gunicornOn("unix:app$next.sock")} --pid app$next.pid >>app.log 2>&1 &
until curl -fs --unix-socket app$next.sock http://app/ >/dev/null; do sleep 0.05; done
mv upstream.conf.new upstream.conf
[ $next = 0 ] && exec ${NGINX.program} -g 'daemon off;' -c ${site.directory}/front.conf -e stderr
kill -HUP $ROOT
sleep 1
kill -TERM $(cat app$((next - 1)).pid)
`;
const rollout: Rival = {
  ...{ name: "two copies behind nginx (as docker-rollout does)", server: GUNICORN.name, transport: "tcp" },
  ...{ needs: [GUNICORN.program, NGINX.program, "curl"], wraps: true },
  async prepare(site) {
    await Bun.write(`${site.directory}/swap.sh`, SWAP(site));
    await Bun.write(
      `${site.directory}/front.conf`,
      `user root;
worker_processes 2;
error_log stderr emerg;
pid ${site.directory}/front.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${site.directory}/body;
  proxy_temp_path ${site.directory}/answers;
  upstream app { include ${site.directory}/upstream.conf; }
  server { listen ${site.at}; location / { proxy_pass http://app; } }
}
`,
    );
  },
  command: () => ["sh", "swap.sh", "0"],
  rootFile: ({ directory }) => `${directory}/front.pid`,
  reload: () => "sh swap.sh $VERIFY_SWAP",
  over: () => "[ ! -e app$((VERIFY_SWAP - 1)).pid ]",
};

const uwsgiChain: Rival = {
  ...alone("its own chain reload", UWSGI, "tcp", [], "echo c > fifo"),
  command: (site) => [...UWSGI.command(site), "--master", "--lazy-apps", "--master-fifo", "fifo"],
};

const pumaPhased: Rival = {
  ...alone("its own phased restart (USR1)", PUMA, "tcp", [], "kill -USR1 $ROOT"),
  prepare: ({ directory }) => void Bun.write(`${directory}/phased.rb`, "preload_app! false\n"),
  command: (site) => [PUMA.program, "-C", "phased.rb", ...PUMA.command(site).slice(1)],
};

const uvicornHup = alone("its own HUP", UVICORN, "tcp", [], HUP);

const granianHup: Rival = {
  ...alone("its own HUP", GRANIAN, "unix", ["--workers", "2"], HUP),
};

/** It asks by INT where nothing else is said, and the app ends at once by that. */
const PM2_HOME = (site: Site) => `${site.directory}/pm2`;
const pm2: Rival = {
  ...{ name: "pm2 reload, a cluster of 2", server: NODE.name, transport: "tcp", needs: [NODE.program, PM2] },
  wraps: true,
  prepare: ({ directory, at }) =>
    void Bun.write(
      `${directory}/cluster.config.cjs`,
      `module.exports = { apps: [{ name: "app", script: "node.mjs", args: "${at}", instances: 2, exec_mode: "cluster" }] };\n`,
    ),
  env: (site) => ({ PM2_HOME: PM2_HOME(site), PM2_KILL_SIGNAL: "SIGTERM" }),
  command: () => ["sh", "-c", `${PM2} start cluster.config.cjs && exec sleep 100000`],
  rootFile: (site) => `${PM2_HOME(site)}/pm2.pid`,
  reload: () => `${PM2} reload app`,
};

const NGINX_VERSION = ({ directory }: Site) =>
  `echo "set \\$served $VERIFY_SWAP;" > ${directory}/version.conf`;
const nginxHup: Rival = {
  ...{ name: "its own HUP", server: NGINX.name, transport: "tcp", needs: [NGINX.program] },
  ...modesOf(NGINX),
  prepare: (site) => NGINX.deploy?.(site, "0"),
  command: (site) => [...NGINX.command(site), "-g", "daemon off;"],
  reload: (site) => `${NGINX_VERSION(site)} && ${HUP}`,
};

const haproxyConfig = (at: string, version: string) => `
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend app
  bind ${at}
  http-request return status 200 content-type text/plain string hello hdr X-Version "${version}" hdr X-Request-Id "%[req.hdr(x-request-id)]"
`;
const haproxyUsr2: Rival = {
  ...{ name: "its own USR2", server: HAPROXY.name, transport: "tcp", needs: [HAPROXY.program] },
  ...modesOf(HAPROXY),
  async prepare({ directory, at }) {
    await Bun.write(`${directory}/haproxy.in`, haproxyConfig(at, "SERVED"));
    await Bun.write(`${directory}/haproxy.cfg`, haproxyConfig(at, "0"));
  },
  command: () => [HAPROXY.program, "-W", "-f", "haproxy.cfg"],
  reload: () => `sed "s/SERVED/$VERIFY_SWAP/" haproxy.in > haproxy.cfg && kill -USR2 $ROOT`,
};

/** What stands in the columns of time where nothing is replaced: the judge's own share, and that of any boot. */
const nothing: Rival = {
  ...alone("(nothing at all, for comparison)", GUNICORN, "unix", [], "sleep 1"),
  over: () => "true",
};
const copyBoots: Rival = {
  ...alone("(a copy that boots and serves nobody, for comparison)", GUNICORN, "unix", [], ""),
  needs: [GUNICORN.program, "curl"],
  reload: () => `
${gunicornOn("unix:copy.sock")} --pid copy.pid >>copy.log 2>&1 &
until curl -fs --unix-socket copy.sock http://app/ >/dev/null; do sleep 0.05; done
kill -TERM $(cat copy.pid)`,
  over: () => "[ ! -e copy.pid ]",
};

/** Connections that clients keep live on. */
const ADOPT = ["--kept-connections", "adopt"];

export const RIVALS: readonly Rival[] = [
  hupwatch(GUNICORN, "unix"),
  hupwatch(GUNICORN, "tcp"),
  hupwatch(GUNICORN, "tcp", ...ADOPT),
  { ...first(FIRST, "unix"), quoted: "the hupwatch of 2016" },
  first(`${FIRST}, --reuse-port`, "tcp", "--reuse-port"),
  { ...serverStarter, quoted: "Server::Starter" },
  { ...circus, quoted: "circus" },
  { ...systemctl, quoted: "systemd's socket unit" },
  { ...gunicornHup, quoted: "gunicorn's own HUP" },
  gunicornUsr2,
  rollout,
  nothing,
  copyBoots,
  hupwatch(UVICORN, "tcp"),
  hupwatch(UVICORN, "tcp", ...ADOPT),
  { ...uvicornHup, quoted: "uvicorn's own HUP" },
  hupwatch(UWSGI, "tcp"),
  { ...uwsgiChain, quoted: "uWSGI's chain reload" },
  hupwatch(PUMA, "tcp"),
  hupwatch(PUMA, "tcp", ...ADOPT),
  { ...pumaPhased, quoted: "puma's phased restart" },
  hupwatch(GRANIAN, "unix"),
  { ...granianHup, quoted: "granian's own HUP" },
  hupwatch(NODE, "tcp"),
  hupwatch(NODE, "tcp", ...ADOPT),
  { ...pm2, quoted: "pm2 reload" },
  hupwatch(NGINX, "tcp"),
  { ...nginxHup, quoted: "nginx's own HUP" },
  hupwatch(HAPROXY, "tcp"),
  { ...haproxyUsr2, quoted: "HAProxy's own USR2" },
];

/** Of late.ts. */
export interface LateRow {
  server: ServerRow;
  /** Its own reload. */
  rival?: Rival;
}

export const LATE_ROWS: readonly LateRow[] = [
  { server: UVICORN, rival: uvicornHup },
  { server: GUNICORN, rival: gunicornHup },
  { server: SYNC, rival: alone("its own HUP", SYNC, "tcp", [], HUP) },
  { server: PUMA, rival: pumaPhased },
  { server: NODE, rival: pm2 },
];

/** Whatever is installed. */
export const ELSEWHERE: readonly NotHere[] = [
  ...(Bun.which(EINHORN) === null
    ? [{ name: "einhorn", why: "is at RubyGems alone, which was not to be reached" }]
    : [{ name: "einhorn", why: "is installed, and no row is written for it" }]),
];
