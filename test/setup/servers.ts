/**
 * The real servers that hupwatch is tested with: one row each, with how to get and to find it, its version, and its command for
 * the fixture app. Setup, the suites and the measured table read it. A row whose server is not installed is skipped and named.
 */
import { ANY_COMMAND } from "./any-command.ts";
import { BUILT, CACHE, GUNICORNS, isThere } from "./places.ts";
import { FPM_POOL, fastCgiFront, HAPROXY_CONFIG, NGINX, nginxConfig, PHP_FPM } from "./server-configs.ts";
import {
  ask,
  bindOf,
  distribution,
  from,
  host,
  newest,
  port,
  row,
  type ServerRow,
  tableOnly,
} from "./server-row.ts";

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

/** Those that an adapter knows, or that are handed descriptors. */
export const KNOWN: readonly ServerRow[] = [
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

export const SERVERS: readonly ServerRow[] = [...KNOWN, ...ANY_COMMAND];

/** One version and one kind of pool of each server; gunicorn's three kinds in two versions have tests of their own. */
export const TESTED = SERVERS.filter((server) => !server.tableOnly);

export const isInstalled = ({ program, needs = [] }: ServerRow): boolean =>
  [program, ...needs].every(isThere);

export function versionOf({ version }: ServerRow): string {
  const asked = Bun.spawnSync([...version], { stderr: "pipe" });
  const text = `${asked.stdout}${asked.stderr}`;
  return /\d+\.\d+[\w.]*/.exec(text)?.[0] ?? "?";
}
