/**
 * The real servers that hupwatch is tested with: one row each, with how to get and to find it, its version, and its command for
 * the fixture app. Setup, the suites and the measured table read it. A row whose server is not installed is skipped and named.
 */
import { readdirSync } from "node:fs";
import { BUILT, CACHE, GUNICORNS, isThere, PYTHON, SERVERS_VENV } from "./places.ts";

export type Transport = "unix" | "tcp";

export interface Place {
  /** Where the fixture apps are, and where the command starts. */
  directory: string;
  transport: Transport;
  /** The address: a path or host:port. */
  at: string;
}

export interface ServerRow {
  name: string;
  /** What is executed and must be there. */
  program: string;
  /** A command whose output has its version. */
  version: readonly string[];
  /** Of Debian and Ubuntu; of several ways the first that the distribution has. Undefined: it is built, or of PyPI. */
  packages?: readonly string[];
  /** The distribution of PyPI, whose newest version is wanted; its module has the same name. */
  pypi?: string;
  transports: readonly Transport[];
  command(place: Place): string[];
  /** hupwatch's own options; default none, since the adapter reads the command. */
  options?(place: Place): string[];
  env?: Record<string, string>;
  /** Files in the directory that the version comes from, where the environment cannot tell it. */
  deploy?(place: Place, version: string): void | Promise<void>;
  /** The command of a proxy that clients ask in its place, at `at`: what is behind it does not speak HTTP. */
  front?(place: Place, at: string): Promise<string[]>;
  /** What must be there besides. */
  needs?: readonly string[];
  /** It serves only `/`: a proxy without an app behind it. */
  plain?: boolean;
  /** Measured for the table, and left out of the tests: another test or another row stands for it. */
  tableOnly?: boolean;
}

export const newest = (program: string) => `${SERVERS_VENV}/bin/${program}`;
/** Where a program comes from: PyPI's newest, else the distribution's packages. */
const from = (program: string, pypi: string, ...packages: string[]): Partial<ServerRow> =>
  program.startsWith(SERVERS_VENV) ? { pypi } : { packages };
/** For those that have no option for it. */
const distribution = (name: string, program: string): string[] => [
  program.startsWith(SERVERS_VENV) ? `${SERVERS_VENV}/bin/python` : PYTHON,
  ...["-c", `import importlib.metadata; print(importlib.metadata.version("${name}"))`],
];
const BOTH = ["unix", "tcp"] as const;
const bindOf = ({ transport, at }: Place) => (transport === "unix" ? `unix:${at}` : at);
const [host, port] = [(at: string) => at.replace(/:\d+$/, ""), (at: string) => at.replace(/^.*:/, "")];
const ask = (place: Place) => ["--bind", bindOf(place)];

const row = (
  name: string,
  program: string,
  command: (place: Place) => string[],
  more: Partial<ServerRow> = {},
): ServerRow => ({
  name,
  program,
  version: [program, "--version"],
  transports: BOTH,
  command: (place) => [program, ...command(place)],
  ...more,
});

/** Pool sizes are such that slow requests leave a worker for the quick ones. */
const gunicorn = (name: string, which: keyof typeof GUNICORNS, ...pool: string[]) =>
  row(name, GUNICORNS[which], (place) => ["wsgi:application", ...ask(place), ...pool], {
    tableOnly: true,
  });

const uvicorn = (name: string, program: string, ...more: string[]) =>
  row(
    name,
    program,
    ({ transport, at }) => [
      "asgi:application",
      ...(transport === "unix" ? ["--uds", at] : ["--host", host(at), "--port", port(at)]),
      ...["--log-level", "warning", ...more],
    ],
    from(program, "uvicorn", "uvicorn"),
  );

const hypercorn = (name: string, program: string, ...more: string[]) =>
  row(name, program, (place) => ["asgi:application", "-b", bindOf(place), ...more], {
    version: distribution("hypercorn", program),
    ...from(program, "hypercorn", "python3-hypercorn"),
  });

const daphne = (name: string, program: string) =>
  row(
    name,
    program,
    ({ transport, at }) => [
      ...(transport === "unix" ? ["-u", at] : ["-b", host(at), "-p", port(at)]),
      ...["-v", "0", "asgi:application"],
    ],
    { version: distribution("daphne", program), ...from(program, "daphne", "daphne") },
  );

const waitress = (name: string, program: string) =>
  row(
    name,
    program,
    ({ transport, at }) => [
      ...(transport === "unix" ? [`--unix-socket=${at}`] : [`--listen=${at}`]),
      ...["--threads=8", "wsgi:application"],
    ],
    { version: distribution("waitress", program), ...from(program, "waitress", "python3-waitress") },
  );

const uwsgi = (name: string, ...pool: string[]) =>
  row(
    name,
    "/usr/bin/uwsgi",
    ({ at }) => [
      ...["--plugin", "python3", "--http-socket", at, "--wsgi-file", "wsgi.py"],
      ...["--disable-logging", "--need-app", ...pool],
    ],
    { packages: ["uwsgi-core uwsgi-plugin-python3"] },
  );

const puma = (name: string, ...pool: string[]) =>
  row(
    name,
    "/usr/bin/puma",
    ({ transport, at }) => [
      ...["--quiet", "-b", transport === "unix" ? `unix://${at}` : `tcp://${at}`, ...pool],
      "config.ru",
    ],
    { packages: ["puma"] },
  );

const NGINX = "/usr/sbin/nginx";
/** Debian has its version in the name. */
const PHP_FPM = `/usr/sbin/${readdirSync("/usr/sbin").find((name) => /^php-fpm[\d.]+$/.test(name)) ?? "php-fpm"}`;

const nginxConfig = (directory: string, at: string) => `
worker_processes 2;
error_log stderr error;
pid ${directory}/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  server {
    listen ${at};
    include ${directory}/version.conf;
    location / { add_header X-Request-Id $http_x_request_id; add_header X-Version $served; return 200 hello; }
  }
}
`;

const HAPROXY_CONFIG = `
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend app
  bind fd@3
  http-request return status 200 content-type text/plain string hello hdr X-Version "%[env(HUPWATCH_GENERATION)]" hdr X-Request-Id "%[req.hdr(x-request-id)]"
`;

/** A bare address, a port or a path: so one line does for both. Without process_control_timeout it cuts what runs. */
const FPM_POOL = `
[global]
daemonize = no
error_log = fpm.log
process_control_timeout = 30s
[www]
user = root
group = root
listen = \${HUPWATCH_SOCKET}
pm = static
pm.max_children = 8
clear_env = no
`;

/** One try for each request, on a connection of its own. */
const fastCgiFront = ({ directory, transport, at }: Place, front: string) => `
user root;
daemon off;
worker_processes 1;
error_log stderr emerg;
pid ${directory}/front.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/front-body;
  fastcgi_temp_path ${directory}/front-answers;
  server {
    listen ${front};
    location / {
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME ${directory}/app.php;
      fastcgi_next_upstream off;
      fastcgi_pass ${transport === "unix" ? `unix:${at}` : at};
    }
  }
}
`;

const CADDYFILE = `
{
  admin off
  persist_config off
}
http:// {
  bind fd/3
  header X-Version {$HUPWATCH_GENERATION}
  header X-Request-Id {http.request.header.X-Request-Id}
  respond hello
}
`;

/** As a user types it, with no option of hupwatch's: its own bind is seen, and where it listens is learned. */
const anyCommand = (
  name: string,
  program: string,
  command: (place: Place) => string[],
  more: Partial<ServerRow> = {},
): ServerRow => row(name, program, command, more);

const PORTS = { transports: ["tcp"] } as const;
const PYPI = (name: string): Partial<ServerRow> => ({
  ...PORTS,
  pypi: name,
  version: distribution(name, newest("python")),
});
/** By the name of what stands in front. Their words are not gunicorn's any more, so no adapter knows them. */
const inFront = (
  name: string,
  program: string,
  before: (words: string[], place: Place) => string[],
): ServerRow =>
  tableOnly(
    anyCommand(`gunicorn behind ${name}`, program, (place) =>
      before([GUNICORNS.debian, "wsgi:application", "-w", "4", "-b", bindOf(place)], place),
    ),
  );
/** Where the package is, its modules are, too. */
const NPM = { env: { NODE_PATH: `${CACHE}/npm/node_modules` }, version: ["node", "--version"] };

const tableOnly = (server: ServerRow): ServerRow => ({ ...server, tableOnly: true });

export const SERVERS: readonly ServerRow[] = [
  gunicorn("gunicorn, sync", "debian", "-w", "4"),
  gunicorn("gunicorn, gthread", "debian", "-w", "2", "-k", "gthread", "--threads", "4"),
  gunicorn("gunicorn, gevent", "debian", "-w", "2", "-k", "gevent"),
  gunicorn("gunicorn (newest), sync", "pypi", "-w", "4"),
  gunicorn("gunicorn (newest), gthread", "pypi", "-w", "2", "-k", "gthread", "--threads", "4"),
  gunicorn("gunicorn (newest), gevent", "pypi", "-w", "2", "-k", "gevent"),
  row("gunicorn (newest), asgi", GUNICORNS.pypi, (place) => [
    ...["asgi:application", ...ask(place), "-w", "2", "-k", "asgi"],
  ]),
  uwsgi("uWSGI", "-p", "4"),
  tableOnly(uwsgi("uWSGI, threads", "-p", "2", "--threads", "4")),
  tableOnly(uvicorn("uvicorn", "/usr/bin/uvicorn")),
  uvicorn("uvicorn (newest)", newest("uvicorn")),
  uvicorn("uvicorn (newest), 2 workers", newest("uvicorn"), "--workers", "2"),
  tableOnly(hypercorn("hypercorn", "/usr/bin/hypercorn")),
  tableOnly(hypercorn("hypercorn (newest)", newest("hypercorn"))),
  hypercorn("hypercorn (newest), 2 workers", newest("hypercorn"), "-w", "2"),
  tableOnly(daphne("daphne", "/usr/bin/daphne")),
  daphne("daphne (newest)", newest("daphne")),
  row(
    "granian (newest)",
    newest("granian"),
    ({ at }) => ["--interface", "asgi", "--log-level", "warning", "--uds", at, "asgi:application"],
    { pypi: "granian", transports: ["unix"] },
  ),
  tableOnly(waitress("waitress", "/usr/bin/waitress-serve")),
  waitress("waitress (newest)", newest("waitress-serve")),
  row(
    "cheroot (newest)",
    newest("cheroot"),
    ({ at }) => ["wsgi:application", "--bind", at, "--request-queue-size", "128"],
    {
      pypi: "cheroot",
      version: distribution("cheroot", newest("cheroot")),
      env: { PYTHONPATH: "." },
    },
  ),
  tableOnly(puma("puma")),
  puma("puma, 2 workers", "-w", "2"),
  row("unicorn", "/usr/bin/unicorn", ({ at }) => ["-c", "unicorn.rb", "-l", at, "config.ru"], {
    packages: ["unicorn"],
    deploy: ({ directory }) => void Bun.write(`${directory}/unicorn.rb`, "worker_processes 4\n"),
  }),
  row("Node.js", "node", () => ["node.mjs"], { packages: ["nodejs"], options: ask }),
  row("Deno, node:http", BUILT.deno, () => ["run", "-A", "node.mjs"], { options: ask }),
  row("Deno.serve", BUILT.deno, () => ["run", "-A", "fetch.ts", "{socket}"], {
    options: ask,
    transports: ["unix"],
  }),
  row("Bun.listen", process.execPath, () => ["tiny.ts"], { options: ask }),
  row("Bun.serve", process.execPath, () => ["fetch.ts", "{socket}"], { options: ask, transports: ["unix"] }),
  row("Go, net/http", BUILT.go, () => [], { options: ask }),
  anyCommand("Bun.serve, its own bind", process.execPath, ({ at }) => ["fetch.ts", at]),
  anyCommand("Deno.serve, its own bind", BUILT.deno, ({ at }) => ["run", "-A", "fetch.ts", at]),
  // Their chains have tests of their own, e2e/intercept*.
  tableOnly(anyCommand("Node.js, its own bind", "node", ({ at }) => ["node.mjs", at])),
  tableOnly(anyCommand("Go, net/http, its own bind", BUILT.go, ({ at }) => [at])),
  tableOnly(anyCommand("Rust, axum, its own bind", BUILT.rust, ({ at }) => [at], PORTS)),
  ...["express", "fastify"].map((name) =>
    tableOnly(
      anyCommand(`${name} (newest)`, "node", ({ at }) => ["frameworks.cjs", name, at], {
        ...NPM,
        needs: [`${CACHE}/npm/node_modules/${name}`],
      }),
    ),
  ),
  // A JDK is large: it is measured where the machine has one.
  tableOnly(anyCommand("Java, HttpServer", "java", ({ at }) => ["Server.java", at], PORTS)),
  tableOnly(
    anyCommand(
      "flask run (newest)",
      newest("flask"),
      ({ at }) => ["--app", "frameworks", "run", "--host", host(at), "--port", port(at)],
      PYPI("flask"),
    ),
  ),
  tableOnly(
    anyCommand(
      "Django, runserver (newest)",
      newest("django-admin"),
      ({ at }) => ["runserver", "--noreload", "--settings", "frameworks", "--pythonpath", ".", at],
      PYPI("django"),
    ),
  ),
  ...["tornado", "aiohttp"].map((name) =>
    tableOnly(
      anyCommand(`${name} (newest)`, newest("python"), ({ at }) => ["frameworks.py", name, at], PYPI(name)),
    ),
  ),
  tableOnly(
    anyCommand("php -S", "php", ({ at }) => ["-S", at, "app.php"], {
      ...PORTS,
      packages: ["php-cli"],
      env: { PHP_CLI_SERVER_WORKERS: "8" },
    }),
  ),
  tableOnly(
    anyCommand(
      "nginx, its own listen",
      NGINX,
      ({ directory }) => ["-c", `${directory}/nginx.conf`, "-e", "stderr"],
      {
        version: [NGINX, "-v"],
        packages: ["nginx"],
        ...PORTS,
        plain: true,
        deploy: async ({ directory, at }, version) => {
          await Bun.write(`${directory}/nginx.conf`, nginxConfig(directory, at));
          await Bun.write(`${directory}/version.conf`, `set $served ${version};\n`);
        },
      },
    ),
  ),
  tableOnly(
    anyCommand("HAProxy, its own bind", "/usr/sbin/haproxy", () => ["-W", "-f", "haproxy.cfg"], {
      version: ["/usr/sbin/haproxy", "-v"],
      packages: ["haproxy"],
      ...PORTS,
      plain: true,
      deploy: ({ directory, at }) =>
        void Bun.write(`${directory}/haproxy.cfg`, HAPROXY_CONFIG.replace("fd@3", at)),
    }),
  ),
  inFront("sh", "sh", (words) => ["-c", `${words.join(" ")}; exit $?`]),
  inFront("timeout", "timeout", (words) => ["9d", ...words]),
  inFront("env -u", "env", (words) => ["-u", "NOTHING", ...words]),
  inFront("runuser", "runuser", (words) => ["-u", "root", "--", ...words]),
  inFront("setpriv", "setpriv", (words) => ["--regid=0", "--init-groups", "--reuid=0", ...words]),
  tableOnly(
    anyCommand("gunicorn behind make", "make", () => ["--silent", "run"], {
      packages: ["make"],
      deploy: (place) =>
        void Bun.write(
          `${place.directory}/Makefile`,
          `run:\n\t${GUNICORNS.debian} wsgi:application -w 4 -b ${bindOf(place)}\n`,
        ),
    }),
  ),
  tableOnly(
    anyCommand("gunicorn behind entrypoint.sh", "sh", (place) => ["entrypoint.sh", bindOf(place)], {
      deploy: ({ directory }) =>
        void Bun.write(
          `${directory}/entrypoint.sh`,
          `#!/bin/sh\nset -e\nexec ${GUNICORNS.debian} wsgi:application -w 4 -b "$1"\n`,
        ),
    }),
  ),
  tableOnly(
    anyCommand("puma behind env -u", "env", ({ transport, at }) => [
      ...["-u", "NOTHING", "/usr/bin/puma", "--quiet", "-w", "2"],
      ...["-b", transport === "unix" ? `unix://${at}` : `tcp://${at}`, "config.ru"],
    ]),
  ),
  tableOnly(
    anyCommand(
      "unicorn behind env -u",
      "env",
      ({ at }) => [...["-u", "NOTHING", "/usr/bin/unicorn", "-c", "unicorn.rb", "-l", at, "config.ru"]],
      {
        deploy: ({ directory }) => void Bun.write(`${directory}/unicorn.rb`, "worker_processes 4\n"),
      },
    ),
  ),
  tableOnly(
    anyCommand("npm start", "npm", () => ["--silent", "start"], {
      deploy: ({ directory, at }) =>
        void Bun.write(
          `${directory}/package.json`,
          JSON.stringify({ scripts: { start: `node node.mjs ${at}` } }),
        ),
    }),
  ),
  row("Rust, axum", BUILT.rust, () => [], {
    version: ["grep", "-A1", '^name = "axum"', `${CACHE}/rust/Cargo.lock`],
    options: ask,
  }),
  row("nginx", NGINX, ({ directory }) => ["-c", `${directory}/nginx.conf`, "-e", "stderr"], {
    version: [NGINX, "-v"],
    packages: ["nginx"],
    options: ask,
    // It knows a Unix socket by its path, and every generation's has another.
    transports: ["tcp"],
    plain: true,
    deploy: async ({ directory, at }, version) => {
      await Bun.write(`${directory}/nginx.conf`, nginxConfig(directory, at));
      await Bun.write(`${directory}/version.conf`, `set $served ${version};\n`);
    },
  }),
  row("HAProxy", "/usr/sbin/haproxy", () => ["-W", "-f", "haproxy.cfg"], {
    version: ["/usr/sbin/haproxy", "-v"],
    packages: ["haproxy"],
    options: ask,
    plain: true,
    deploy: ({ directory }) => void Bun.write(`${directory}/haproxy.cfg`, HAPROXY_CONFIG),
  }),
  row("php-fpm behind nginx", PHP_FPM, () => ["-R", "-F", "-y", "fpm.conf"], {
    version: [PHP_FPM, "-v"],
    packages: ["php-fpm"],
    needs: [NGINX],
    options: ask,
    deploy: ({ directory }) => void Bun.write(`${directory}/fpm.conf`, FPM_POOL),
    front: async (place, at) => {
      await Bun.write(`${place.directory}/front.conf`, fastCgiFront(place, at));
      return [NGINX, "-c", `${place.directory}/front.conf`, "-e", "stderr"];
    },
  }),
  tableOnly(
    row("Caddy (newest)", BUILT.caddy, () => ["run", "--config", "Caddyfile"], {
      // `caddy version` knows only what a release was told at its building.
      version: ["sh", "-c", `${BUILT.caddy} build-info | grep ^mod`],
      options: ask,
      plain: true,
      deploy: ({ directory }) => void Bun.write(`${directory}/Caddyfile`, CADDYFILE),
    }),
  ),
];

/** One version and one kind of pool of each server; gunicorn's three kinds in two versions have tests of their own. */
export const TESTED = SERVERS.filter((server) => !server.tableOnly);

export const isInstalled = ({ program, needs = [] }: ServerRow): boolean =>
  [program, ...needs].every(isThere);

export function versionOf({ version }: ServerRow): string {
  const asked = Bun.spawnSync([...version], { stderr: "pipe" });
  const text = `${asked.stdout}${asked.stderr}`;
  return /\d+\.\d+[\w.]*/.exec(text)?.[0] ?? "?";
}
