/**
 * waitress takes sockets only from Python: `serve(sockets=[...])`. Its command is `waitress.runner.run(argv, _serve)`, so
 * the same call with a `serve` that is handed the descriptors is all there is to it. TERM kills it at once; INT gives
 * running tasks five seconds (task.py shutdown), whose threads send what the socket takes, and cancels those that wait for one.
 */
import { descriptorOf } from "../../sockets/handover.ts";
import type { Handed, ServerAdapter, SocketRights } from "../adapter.ts";
import { everyAddress } from "../reading/addresses.ts";
import { hasFlag, lastValueOf, valuesOf, without } from "../reading/options.ts";
import { pythonOf } from "../reading/python-interpreter.ts";
import { type Recognised, recognise, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";

/** argv: the descriptors, then waitress-serve's own words. `host` and `port` have defaults that exclude sockets. */
const SERVE = `
import socket, sys, waitress, waitress.runner
fds = [int(fd) for fd in sys.argv[1].split(",")]
def serve(app, **settings):
    waitress.serve(app, sockets=[socket.socket(fileno=fd) for fd in fds], **settings)
sys.argv[:2] = ["waitress-serve"]
waitress.runner.run(sys.argv, _serve=serve)
`.trim();

/** getopt, which has no short ones (waitress/runner.py). */
const SPELLING: Spelling = {
  longs: [
    ...["--listen", "--host", "--port", "--unix-socket", "--unix-socket-perms"],
    ...["--ipv4", "--no-ipv4", "--ipv6", "--no-ipv6"],
  ],
};

export const waitress: ServerAdapter = {
  name: "waitress",
  shown: [
    {
      server: "waitress",
      takes: "the same call from `python -c`, with the sockets",
      stopped: "INT: 5 s for running requests, then it cuts: hence `--drain-until-idle`",
    },
  ],
  read(command) {
    const found = recognise(command, "waitress", /^waitress(-serve)?$/, SPELLING);
    if (!found) return undefined;
    return {
      server: found.title,
      binds: bindsOf(found),
      handover: {
        by: "argv",
        // "INET and UNIX sockets cannot be mixed" (adjustments.py), and the private one is a Unix socket.
        takesExtra: (sockets) => sockets.every(({ address }) => address.kind === "unix"),
        take: (sockets) => take(found, sockets),
      },
      ready: "http",
      stop: {
        sequence: "INT/30s/KILL",
        drain: "5 s for running requests; those that wait for a thread are cancelled",
      },
      words: found.words,
      sockets: { ipv6Only: true, ...modeOf(found) },
      quirks: QUIRKS,
      notes: runnerNotes(found),
    };
  },
};

/** adjustments.py: every address of getaddrinfo(3), `*` is all of both families. */
function bindsOf({ args, directory }: Recognised): string[] {
  const path = lastValueOf(args, "--unix-socket");
  if (path !== undefined) return [unixSpec(path, directory)];
  const [host, port] = [lastValueOf(args, "--host") ?? "0.0.0.0", lastValueOf(args, "--port") ?? "8080"];
  const given = valuesOf(args, "--listen").flatMap((l) => l.split(/\s+/).filter(Boolean));
  const listens = given.length > 0 ? given : [`${host.includes(":") ? `[${host}]` : host}:${port}`];
  const binds = listens.flatMap((listen) => {
    const [, name = listen, own = port] = /^(.*):([^:\]]+)$/.exec(listen) ?? [];
    return everyAddress(name === "*" ? "" : name, own);
  });
  const isWanted = (bind: string) => !hasFlag(args, bind.startsWith("[") ? "--no-ipv6" : "--no-ipv4");
  return [...new Set(binds.filter(isWanted))];
}

/** adjustments.py: unix_socket_perms is octal, 0600 unless told. */
function modeOf({ args }: Recognised): SocketRights {
  if (lastValueOf(args, "--unix-socket") === undefined) return {};
  return { mode: Number.parseInt(lastValueOf(args, "--unix-socket-perms") ?? "600", 8) };
}

function take(found: Recognised, sockets: readonly unknown[]): Handed {
  const { front, args, program } = found;
  const python = pythonOf(found);
  // `env A=1 python -m waitress`: what stands before the interpreter or the script stays.
  const before = front.slice(0, program.from);
  // Of sockets that it is given it wants both families.
  const rest = without(
    args,
    ["--listen"],
    ["--host"],
    ["--port"],
    ["--unix-socket"],
    ["--unix-socket-perms"],
  ).filter((word) => !/^--(no-)?ipv[46]$/.test(word));
  const fds = sockets.map((_, i) => descriptorOf(i)).join(",");
  return { words: [...before, ...python, "-c", SERVE, fds, ...rest] };
}

const QUIRKS = [
  {
    what: "TERM ends it in the middle of requests; INT lets them run for five seconds, but sends only the part of a big answer that the socket takes at once: --drain-until-idle gives them longer",
    link: "https://github.com/Pylons/waitress/blob/main/src/waitress/task.py",
  },
  {
    what: "its command has no option for descriptors: the same call is made from python -c",
    link: "https://docs.pylonsproject.org/projects/waitress/en/stable/arguments.html",
  },
];
