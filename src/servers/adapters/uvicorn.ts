/**
 * uvicorn takes one descriptor, by `--fd`, for a Unix socket as well as for a port; its `--workers` share it. It has no
 * LISTEN_FDS. With `--uds` it unlinks the path at its exit, whoever has bound it since (main.py, `os.remove(config.uds)`).
 */
import { HupwatchError } from "../../error.ts";
import type { Handed, ServerAdapter } from "../adapter.ts";
import { hasFlag, lastValueOf, withMore, without } from "../reading/options.ts";
import { type Recognised, recognise, tcpSpec, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

export const uvicorn: ServerAdapter = {
  name: "uvicorn",
  shown: [
    {
      server: "uvicorn",
      takes: "`--fd N` in place of `--uds`, `--host`, `--port`; one socket",
      stopped: "TERM",
    },
  ],
  read(command) {
    const found = recognise(command, "uvicorn", /^uvicorn$/);
    if (!found) return undefined;
    const { args, words, title } = found;
    const own = asked(found, "fd") !== undefined;
    const limit = asked(found, "timeout-graceful-shutdown");
    return {
      server: title,
      binds: own ? [] : [bindOf(found)],
      handover: "argv",
      ready: asked(found, "ssl-certfile") === undefined ? "http" : "connect",
      // It ends by the very signal that asked it (server.py capture_signals): success, not a crash.
      stop: `TERM/${limit === undefined ? 60 : Number(limit) + 30}s/KILL`,
      drain:
        limit === undefined ? "for ever, so hupwatch's 60 s" : `${limit} s (--timeout-graceful-shutdown)`,
      words,
      ...(own ? {} : { take: (sockets) => take(found, sockets.length) }),
      // Config.bind_socket does chmod 0666 whatever the umask.
      socketMode: 0o666,
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...(own && !/\{fd/.test(words.join(" "))
          ? ["--fd is left as it is: leave it out, and hupwatch passes a descriptor of its own"]
          : []),
        ...(hasFlag(args, "--reload") || isTrue(found.env.UVICORN_RELOAD)
          ? ["--reload restarts past hupwatch: for development only"]
          : []),
      ],
    };
  },
};

/** Click reads UVICORN_NAME where the option is not given. */
const asked = ({ args, env }: Recognised, option: string): string | undefined =>
  lastValueOf(args, `--${option}`) ??
  (env[`UVICORN_${option.toUpperCase().replaceAll("-", "_")}`] || undefined);

/** As click reads a flag from the environment. */
const isTrue = (value: string | undefined): boolean => /^(1|true|t|yes|y|on)$/i.test(value ?? "");

function bindOf(found: Recognised): string {
  const path = asked(found, "uds");
  if (path !== undefined) return unixSpec(path, found.directory);
  return tcpSpec(asked(found, "host") ?? "127.0.0.1", asked(found, "port") ?? "8000");
}

function take({ front, args, env }: Recognised, sockets: number): Handed {
  if (sockets > 1)
    throw new HupwatchError("uvicorn.one-socket", `uvicorn takes one socket, and ${sockets} are held`, {
      hint: "give one --bind, and let a proxy listen on the others",
    });
  const rest = without(args, ["--uds"], ["--host"], ["--port"]);
  const words = [...front, ...withMore(rest, ["--fd", "{fd}"])];
  // It would beat --fd in Config.bind_socket.
  return env.UVICORN_UDS ? { words, env: { UVICORN_UDS: "" } } : { words };
}

const QUIRKS = [
  {
    what: "at TERM it closes idle connections and those it has accepted and not read: the warm-up covers the latter",
    link: "https://github.com/encode/uvicorn/blob/master/uvicorn/protocols/http/h11_impl.py",
  },
  {
    what: "it ends by the signal it was asked with, after draining: exit -15 is success",
    link: "https://github.com/encode/uvicorn/pull/1600",
  },
];
