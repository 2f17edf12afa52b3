/**
 * uvicorn takes one descriptor, by `--fd`, for a Unix socket as well as for a port; its `--workers` share it. Several it takes only
 * from Python, Server.run(sockets=[...]), and without `--workers`. It has no LISTEN_FDS. With `--uds` it unlinks the path at its exit, also where another process has bound it since (main.py, `os.remove(config.uds)`).
 */
import { HupwatchError } from "../../error.ts";
import { descriptorOf } from "../../sockets/handover.ts";
import type { Handed, ServerAdapter } from "../adapter.ts";
import { everyAddress } from "../reading/addresses.ts";
import { hasFlag, lastValueOf, withMore, without } from "../reading/options.ts";
import { pythonOf } from "../reading/python-interpreter.ts";
import { type Recognised, recognise, tcpSpec, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

/** argv: the descriptors, then uvicorn's own words. */
const SERVE = `
import socket, sys, uvicorn
fds = [int(fd) for fd in sys.argv[1].split(",")]
run = uvicorn.Server.run
def serve(server, sockets=None):
    return run(server, sockets=[socket.socket(fileno=fd) for fd in fds])
uvicorn.Server.run = serve
sys.argv[:2] = ["uvicorn"]
uvicorn.main()
`.trim();

export const uvicorn: ServerAdapter = {
  name: "uvicorn",
  shown: [
    {
      server: "uvicorn",
      takes: "`--fd N` in place of `--uds`, `--host`, `--port`; several by the same call from `python -c`",
      stopped: "TERM",
    },
  ],
  read(command) {
    const found = recognise(command, "uvicorn", /^uvicorn$/);
    if (!found) return undefined;
    const { words, title } = found;
    const own = configured(found, "fd") !== undefined;
    const limit = configured(found, "timeout-graceful-shutdown");
    return {
      server: title,
      binds: own ? [] : bindsOf(found),
      handover: { by: "argv", ...(own ? {} : { take: (sockets) => take(found, sockets.length) }) },
      ready: configured(found, "ssl-certfile") === undefined ? "http" : "connect",
      // It ends by the very signal that asked it (server.py capture_signals): success, not a crash.
      stop: {
        sequence: `TERM/${limit === undefined ? 60 : Number(limit) + 30}s/KILL`,
        drain:
          limit === undefined ? "for ever, so hupwatch's 60 s" : `${limit} s (--timeout-graceful-shutdown)`,
      },
      words: [...words, ...appDirectory(found)],
      releasePaths: { directories: ["--app-dir"] },
      // Config.bind_socket does chmod 0666 whatever the umask.
      sockets: { mode: 0o666, ipv6Only: !bindsOne(found) },
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...(own && !/\{fd/.test(words.join(" "))
          ? ["--fd is kept as it is: leave it out, and hupwatch passes a descriptor"]
          : []),
        ...(reloads(found) ? ["--reload restarts without hupwatch: for development only"] : []),
      ],
    };
  },
};

/** Click reads UVICORN_NAME where the option is not given. */
const configured = ({ args, env }: Recognised, option: string): string | undefined =>
  lastValueOf(args, `--${option}`) ??
  (env[`UVICORN_${option.toUpperCase().replaceAll("-", "_")}`] || undefined);

/** As click reads a flag from the environment. */
const isTrue = (value: string | undefined): boolean => /^(1|true|t|yes|y|on)$/i.test(value ?? "");

const reloads = ({ args, env }: Recognised): boolean =>
  hasFlag(args, "--reload") || isTrue(env.UVICORN_RELOAD);

/** With workers or a reloader it binds one socket for all of them (config.py bind_socket), else asyncio binds. */
const bindsOne = (found: Recognised): boolean =>
  reloads(found) || Number(configured(found, "workers") ?? found.env.WEB_CONCURRENCY ?? 1) > 1;

function bindsOf(found: Recognised): string[] {
  const path = configured(found, "uds");
  if (path !== undefined) return [unixSpec(path, found.directory)];
  const [host, port] = [configured(found, "host") ?? "127.0.0.1", configured(found, "port") ?? "8000"];
  return bindsOne(found) ? [tcpSpec(host, port)] : everyAddress(host, port);
}

/** As a word it can be led to where its symlinks lead at the start: workers import from it, late ones, too. */
function appDirectory(found: Recognised): string[] {
  const directory = configured(found, "app-dir");
  return directory === undefined || lastValueOf(found.args, "--app-dir") !== undefined
    ? []
    : ["--app-dir", directory];
}

function take(found: Recognised, sockets: number): Handed {
  const { front, args, env, program } = found;
  if (sockets > 1 && bindsOne(found))
    throw new HupwatchError(
      "uvicorn.one-socket",
      `uvicorn with --workers or --reload takes one socket, and ${sockets} are held`,
      { hint: "give one --bind, and let a proxy listen on the others" },
    );
  const rest = withMore(without(args, ["--uds"], ["--host"], ["--port"]), appDirectory(found));
  const fds = Array.from({ length: sockets }, (_, i) => descriptorOf(i)).join(",");
  const words =
    sockets > 1
      ? [...front.slice(0, program.from), ...pythonOf(found), "-c", SERVE, fds, ...rest]
      : [...front, ...withMore(rest, ["--fd", "{fd}"])];
  // It would beat --fd in Config.bind_socket, and be unlinked at the exit.
  return env.UVICORN_UDS ? { words, env: { UVICORN_UDS: "" } } : { words };
}

const QUIRKS = [
  {
    what: "at TERM it closes idle connections and those that it has accepted and not read: the warm-up covers the latter",
    link: "https://github.com/encode/uvicorn/blob/master/uvicorn/protocols/http/h11_impl.py",
  },
  {
    what: "it ends by its stop signal, after draining: exit -15 is success",
    link: "https://github.com/encode/uvicorn/pull/1600",
  },
];
