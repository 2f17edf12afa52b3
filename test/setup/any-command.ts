/**
 * Commands that bind by themselves, as a user types them and with no option of hupwatch's: their own bind is seen, and where they listen
 * is learned.
 */
import { chmodSync, readFileSync } from "node:fs";
import { BUILT, CACHE, GUNICORNS, PYTHON, ROOT, VENV } from "./places.ts";
import { BIN_RAILS, RAILS_APPLICATION, RAILS_ENVIRONMENT } from "./rails-app.ts";
import { FPM_POOL, fastCgiFront, HAPROXY_CONFIG, NGINX, nginxConfig, PHP_FPM } from "./server-configs.ts";
import {
  bindOf,
  distribution,
  host,
  newest,
  type Place,
  port,
  row,
  type ServerRow,
  tableOnly,
} from "./server-row.ts";

const PORTS = { transports: ["tcp"] } as const;
const PYPI = (name: string): Partial<ServerRow> => ({
  ...PORTS,
  pypi: name,
  version: distribution(name, newest("python")),
});
/** Where the package is, its modules are, too. */
const NPM = { env: { NODE_PATH: `${CACHE}/npm/node_modules` }, version: ["node", "--version"] };
const costly = (server: ServerRow): ServerRow => ({ ...server, isCostly: true });

/** What the runtimes and frameworks themselves serve with. */
const RUNTIMES: readonly ServerRow[] = [
  row("Node.js, its own bind", "node", ({ at }) => ["node.mjs", at]),
  row("Go, net/http, its own bind", BUILT.go, ({ at }) => [at]),
  row("Rust, axum, its own bind", BUILT.rust, ({ at }) => [at], {
    ...PORTS,
    version: ["grep", "-A1", '^name = "axum"', `${CACHE}/rust/Cargo.lock`],
  }),
  ...["express", "fastify"].map((name) =>
    row(`${name} (newest)`, "node", ({ at }) => ["frameworks.cjs", name, at], {
      ...NPM,
      version: ["node", "-p", `require("${CACHE}/npm/node_modules/${name}/package.json").version`],
      needs: [`${CACHE}/npm/node_modules/${name}`],
    }),
  ),
  row(
    "next start (newest)",
    BUILT.next,
    ({ at }) => ["start", `${CACHE}/next`, "-H", host(at), "-p", port(at)],
    { ...PORTS, needs: [`${CACHE}/next/.next`] },
  ),
  row("npm start", "npm", () => ["--silent", "start"], {
    deploy: ({ directory, at }) =>
      void Bun.write(
        `${directory}/package.json`,
        JSON.stringify({ scripts: { start: `node node.mjs ${at}` } }),
      ),
  }),
];

/** Jetty and Netty as an application embeds them; Netty's native transport has an epoll of its own. A JDK is large: where the machine has one. */
const JVM: readonly ServerRow[] = [
  row("Java, HttpServer", "java", ({ at }) => ["Server.java", at], PORTS),
  ...(
    [
      ["jetty", "jetty-server", ["unix", "tcp"]],
      ["netty-nio", "netty-transport-4", ["tcp"]],
      ["netty-epoll", "netty-transport-native-epoll", ["unix", "tcp"]],
    ] as const
  ).map(([name, jar, transports]) =>
    row(
      `${name}, embedded`,
      "java",
      ({ at }) => ["-cp", `${BUILT.jvm}:${BUILT.jvm}/lib/*`, "Servers", name, at],
      {
        version: [
          "sh",
          "-c",
          `cd ${BUILT.jvm}/lib && echo ${jar}* | sed 's/[^0-9]*\\([0-9.]*[0-9]\\).*/\\1/'`,
        ],
        transports,
        needs: [`${BUILT.jvm}/lib`],
      },
    ),
  ),
];

const PYTHONS: readonly ServerRow[] = [
  row(
    "flask run (newest)",
    newest("flask"),
    ({ at }) => ["--app", "frameworks", "run", "--host", host(at), "--port", port(at)],
    PYPI("flask"),
  ),
  row(
    "Django, runserver (newest)",
    newest("django-admin"),
    ({ at }) => ["runserver", "--noreload", "--settings", "frameworks", "--pythonpath", ".", at],
    PYPI("django"),
  ),
  ...["tornado", "aiohttp"].map((name) =>
    row(`${name} (newest)`, newest("python"), ({ at }) => ["frameworks.py", name, at], PYPI(name)),
  ),
  costly(
    row(
      "fastapi run, import of 2 s",
      newest("fastapi"),
      ({ at }) => ["run", "fastapi_main.py", "--host", host(at), "--port", port(at)],
      { ...PYPI("fastapi"), pypi: "fastapi[standard-no-fastapi-cloud-cli]" },
    ),
  ),
  costly(
    row(
      "sanic (newest)",
      newest("sanic"),
      ({ at }) => ["frameworks:sanic_app", "--factory", "--host", host(at), "--port", port(at)],
      PYPI("sanic"),
    ),
  ),
  row("python -m http.server", PYTHON, ({ at }) => ["-m", "http.server", "--bind", host(at), port(at)], {
    ...PORTS,
    plain: true,
    // It says neither which version it is nor which request it answers.
    env: { PYTHONPATH: "." },
    deploy: ({ directory }) => void Bun.write(`${directory}/sitecustomize.py`, TELLING_HTTP_SERVER),
  }),
];

/** Its class is made anew by -m: what is changed is what becomes of subclasses. */
const TELLING_HTTP_SERVER = `
import os, socketserver
def made(cls, **more):
    if cls.__name__ != "SimpleHTTPRequestHandler":
        return
    end = cls.end_headers
    def end_headers(self):
        self.send_header("X-Version", os.environ.get("HUPWATCH_GENERATION", "0"))
        self.send_header("X-Request-Id", self.headers.get("X-Request-Id", ""))
        end(self)
    cls.end_headers = end_headers
socketserver.StreamRequestHandler.__init_subclass__ = classmethod(made)
`;

/** With a configuration of their own. */
const CONFIGURED: readonly ServerRow[] = [
  {
    ...row("bin/rails server, boot of 3 s", "/usr/bin/rails", () => [], {
      ...PORTS,
      packages: ["ruby-railties"],
      env: { APP_BOOT_SECONDS: "3" },
      async deploy({ directory }) {
        await Bun.write(`${directory}/bin/rails`, BIN_RAILS);
        chmodSync(`${directory}/bin/rails`, 0o755);
        await Bun.write(`${directory}/tmp/pids/.keep`, "");
        await Bun.write(`${directory}/config/application.rb`, RAILS_APPLICATION);
        await Bun.write(`${directory}/config/environment.rb`, RAILS_ENVIRONMENT);
        const rack = readFileSync(`${ROOT}/fixtures/apps/config.ru`, "utf8");
        await Bun.write(`${directory}/config.ru`, `require_relative "config/environment"\n${rack}`);
      },
    }),
    command: ({ at }) => ["bin/rails", "server", "-b", host(at), "-p", port(at)],
  },
  row("php -S", "php", ({ at }) => ["-S", at, "app.php"], {
    ...PORTS,
    packages: ["php-cli"],
    env: { PHP_CLI_SERVER_WORKERS: "8" },
  }),
  row("php-fpm, its own listen, behind nginx", PHP_FPM, () => ["-R", "-F", "-y", "fpm.conf"], {
    version: [PHP_FPM, "-v"],
    packages: ["php-fpm"],
    needs: [NGINX],
    deploy: ({ directory, at }) =>
      // biome-ignore lint/suspicious/noTemplateCurlyInString: php-fpm's own notation
      void Bun.write(`${directory}/fpm.conf`, FPM_POOL.replace("${HUPWATCH_SOCKET}", at)),
    front: async (place, at) => {
      await Bun.write(`${place.directory}/front.conf`, fastCgiFront(place, at));
      return [NGINX, "-c", `${place.directory}/front.conf`, "-e", "stderr"];
    },
  }),
  row("nginx, its own listen", NGINX, ({ directory }) => ["-c", `${directory}/nginx.conf`, "-e", "stderr"], {
    version: [NGINX, "-v"],
    packages: ["nginx"],
    ...PORTS,
    plain: true,
    deploy: async ({ directory, at }, version) => {
      await Bun.write(`${directory}/nginx.conf`, nginxConfig(directory, at));
      await Bun.write(`${directory}/version.conf`, `set $served ${version};\n`);
    },
  }),
  row(
    "HAProxy, its own bind, behind env -u",
    "env",
    () => [...["-u", "NOTHING", "/usr/sbin/haproxy", "-W", "-f", "haproxy.cfg"]],
    {
      version: ["/usr/sbin/haproxy", "-v"],
      needs: ["/usr/sbin/haproxy"],
      plain: true,
      deploy: ({ directory, at }) =>
        void Bun.write(`${directory}/haproxy.cfg`, HAPROXY_CONFIG.replace("fd@3", at)),
    },
  ),
];

/** By the name of what stands in front. Their words are not gunicorn's any more, so no adapter knows them. */
const inFront = (
  name: string,
  program: string,
  before: (words: string[], place: Place) => string[],
  more: Partial<ServerRow> = {},
): ServerRow =>
  row(
    `gunicorn behind ${name}`,
    program,
    (place) => before([GUNICORNS.debian, "wsgi:application", "-w", "4", "-b", bindOf(place)], place),
    { version: [GUNICORNS.debian, "--version"], ...more },
  );

const UV = `${VENV}/bin/uv`;

/** What stands in front of a server, and stays there or becomes it. */
const WRAPPERS: readonly ServerRow[] = [
  costly(
    inFront("newrelic-admin run-program", newest("newrelic-admin"), (words) => ["run-program", ...words], {
      pypi: "newrelic",
    }),
  ),
  costly(
    inFront("dotenv run", newest("dotenv"), (words) => ["run", "--", ...words], {
      pypi: "python-dotenv[cli]",
      deploy: ({ directory }) => void Bun.write(`${directory}/.env`, "NOTHING=1\n"),
    }),
  ),
  inFront("uv run", UV, (words) => ["run", "--no-project", "--", ...words], { needs: [UV] }),
  costly(
    inFront("poetry run", newest("poetry"), (words) => ["run", ...words], {
      pypi: "poetry",
      env: { POETRY_VIRTUALENVS_CREATE: "false" },
      deploy: ({ directory }) =>
        void Bun.write(`${directory}/pyproject.toml`, "[tool.poetry]\npackage-mode = false\n"),
    }),
  ),
  inFront("sh -c, without exec", "sh", (words) => ["-c", `cd . && ${words.join(" ")}; exit $?`]),
  inFront("timeout", "timeout", (words) => ["9d", ...words]),
  inFront("env -u", "env", (words) => ["-u", "NOTHING", ...words]),
  inFront("runuser", "runuser", (words) => ["-u", "root", "--", ...words]),
  inFront("setpriv", "setpriv", (words) => ["--regid=0", "--init-groups", "--reuid=0", ...words]),
  costly(inFront("gosu", "gosu", (words) => ["root", ...words], { packages: ["gosu"] })),
  costly(inFront("s6-setuidgid", "s6-setuidgid", (words) => ["root", ...words], { packages: ["s6"] })),
  inFront("make", "make", () => ["--silent", "run"], {
    packages: ["make"],
    deploy: (place) =>
      void Bun.write(
        `${place.directory}/Makefile`,
        `run:\n\t${GUNICORNS.debian} wsgi:application -w 4 -b ${bindOf(place)}\n`,
      ),
  }),
  ...["exec ", ""].map((exec) =>
    inFront(
      `entrypoint.sh, ${exec ? "with" : "without"} exec`,
      "sh",
      (_, place) => ["entrypoint.sh", bindOf(place)],
      {
        deploy: ({ directory }) =>
          void Bun.write(
            `${directory}/entrypoint.sh`,
            `#!/bin/sh\nset -e\n${exec}${GUNICORNS.debian} wsgi:application -w 4 -b "$1"\n`,
          ),
      },
    ),
  ),
  row(
    "uvicorn (newest) behind env -u",
    "env",
    ({ transport, at }) => [
      ...["-u", "NOTHING", newest("uvicorn"), "asgi:application", "--log-level", "warning"],
      ...(transport === "unix" ? ["--uds", at] : ["--host", host(at), "--port", port(at)]),
    ],
    { version: [newest("uvicorn"), "--version"], needs: [newest("uvicorn")] },
  ),
  row(
    "puma behind env -u",
    "env",
    ({ transport, at }) => [
      ...["-u", "NOTHING", "/usr/bin/puma", "--quiet", "-w", "2"],
      ...["-b", transport === "unix" ? `unix://${at}` : `tcp://${at}`, "config.ru"],
    ],
    { version: ["/usr/bin/puma", "--version"], needs: ["/usr/bin/puma"] },
  ),
  costly(
    row(
      "puma behind bundle exec",
      "/usr/bin/bundle",
      ({ transport, at }) => [
        ...["exec", "puma", "--quiet", "-w", "2"],
        ...["-b", transport === "unix" ? `unix://${at}` : `tcp://${at}`, "config.ru"],
      ],
      {
        version: ["/usr/bin/puma", "--version"],
        packages: ["bundler"],
        needs: ["/usr/bin/puma"],
        deploy: ({ directory }) => void Bun.write(`${directory}/Gemfile`, 'gem "puma"\ngem "rack"\n'),
      },
    ),
  ),
  row(
    "unicorn behind env -u",
    "env",
    ({ at }) => [...["-u", "NOTHING", "/usr/bin/unicorn", "-c", "unicorn.rb", "-l", at, "config.ru"]],
    {
      version: ["/usr/bin/unicorn", "--version"],
      needs: ["/usr/bin/unicorn"],
      deploy: ({ directory }) => void Bun.write(`${directory}/unicorn.rb`, "worker_processes 4\n"),
    },
  ),
];

/** Two stand for all in the tests: their chains have tests of their own, e2e/intercept*. */
export const ANY_COMMAND: readonly ServerRow[] = [
  row("Bun.serve, its own bind", process.execPath, ({ at }) => ["fetch.ts", at]),
  row("Deno.serve, its own bind", BUILT.deno, ({ at }) => ["run", "-A", "fetch.ts", at]),
  ...[...RUNTIMES, ...JVM, ...PYTHONS, ...CONFIGURED, ...WRAPPERS].map(tableOnly),
];
