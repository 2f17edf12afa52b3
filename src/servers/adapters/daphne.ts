/**
 * daphne (Twisted) takes sockets by Twisted's systemd endpoint. Its own `--fd` is AF_INET whatever it gets (a Unix
 * socket answers with resets), and `-u` unlinks the path at its exit.
 */
import { isIPv6 } from "../../sockets/ip.ts";
import type { SocketSpec } from "../../sockets/spec.ts";
import type { Handed, ServerAdapter } from "../adapter.ts";
import { lastValueOf, valuesOf, withMore, without } from "../reading/options.ts";
import { type Recognised, recognise, tcpSpec, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";

/** argparse (daphne/cli.py). */
const SPELLING: Spelling = {
  longs: ["--endpoint", "--unix-socket", "--bind", "--port"],
  flags: "h",
  dropsEquals: "eubp",
};

export const daphne: ServerAdapter = {
  name: "daphne",
  shown: [
    {
      server: "daphne",
      takes: "Twisted's systemd endpoint in place of `-u`, `-b`, `-p`",
      stopped: "TERM, which cuts: hence `--drain-until-idle`",
    },
  ],
  read(command) {
    const found = recognise(command, "daphne", /^daphne$/, SPELLING);
    if (!found) return undefined;
    const { args, words, title } = found;
    const endpoints = valuesOf(args, "--endpoint", "-e");
    const foreign = endpoints.filter((e) => !e.startsWith("systemd:"));
    return {
      server: title,
      binds: endpoints.length > 0 ? [] : [bindOf(found)],
      handover: {
        by: "systemd",
        takesExtra: () => true,
        keepsUnixToItself:
          "it shuts the socket down when it exits (shutdown(2)), for all processes that have it",
        take: (sockets) => take(found, sockets),
      },
      ready: "http",
      stop: { sequence: "TERM/60s/KILL", drain: "none: it cancels every running request at TERM and INT" },
      words,
      // twisted/internet/unix.py, Port: mode=0o666.
      sockets: { mode: 0o666 },
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...(foreign.length > 0
          ? [`daphne itself binds the endpoint ${foreign[0]}: give its address to --bind instead`]
          : []),
      ],
    };
  },
};

function bindOf({ args, directory }: Recognised): string {
  const path = lastValueOf(args, "--unix-socket", "-u");
  if (path !== undefined) return unixSpec(path, directory);
  return tcpSpec(lastValueOf(args, "--bind", "-b") || "127.0.0.1", lastValueOf(args, "--port", "-p") ?? 8000);
}

function take({ front, args }: Recognised, sockets: readonly SocketSpec[]): Handed {
  const own = without(
    args,
    ["--unix-socket", "-u"],
    ["--bind", "-b"],
    ["--port", "-p"],
    ["--endpoint", "-e"],
  );
  const endpoints = sockets.flatMap((s, i) => ["-e", `systemd:domain=${domainOf(s)}:index=${i}`]);
  return { words: [...front, ...withMore(own, endpoints)] };
}

function domainOf({ address }: SocketSpec): string {
  if (address.kind === "unix" || address.kind === "abstract") return "UNIX";
  return address.kind === "tcp" && isIPv6(address.host) ? "INET6" : "INET";
}

const QUIRKS = [
  {
    what: "when it exits, it unlinks a Unix socket that it was passed and shuts it down (not so a port, tcp.py _shouldShutdown): each generation has its own, and a shared or inherited one is refused",
    link: "https://github.com/twisted/twisted/blob/trunk/src/twisted/internet/unix.py",
  },
  {
    what: "TERM and INT cancel requests in flight: give slow ones a longer --drain-until-idle",
    link: "https://github.com/django/daphne/blob/main/daphne/server.py",
  },
  {
    what: "the endpoint is Twisted's own, systemd:domain=...:index=...",
    link: "https://docs.twisted.org/en/stable/core/howto/systemd.html",
  },
];
