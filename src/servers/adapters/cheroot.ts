/**
 * cheroot takes descriptor 3 as soon as LISTEN_PID is set, whatever it is (server.py prepare), instead of its --bind.
 * It has no signal handlers: INT is Python's KeyboardInterrupt, which stops it in order; TERM kills it.
 */
import { HupwatchError } from "../../error.ts";
import type { ServerAdapter } from "../adapter.ts";
import { firstAddress } from "../reading/addresses.ts";
import { lastValueOf } from "../reading/options.ts";
import { recognise, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";

/** Seconds; --shutdown-timeout. */
const SHUTDOWN_TIMEOUT = 5;

/** argparse (cheroot/cli.py). */
const SPELLING: Spelling = { longs: ["--bind", "--shutdown-timeout"], flags: "h" };

export const cheroot: ServerAdapter = {
  name: "cheroot",
  shown: [{ server: "cheroot", takes: "LISTEN_FDS; one socket", stopped: "INT" }],
  read(command) {
    const found = recognise(command, "cheroot", /^cheroot$/, SPELLING);
    if (!found) return undefined;
    const { args, words, title } = found;
    const limit = Number(lastValueOf(args, "--shutdown-timeout") ?? SHUTDOWN_TIMEOUT);
    return {
      server: title,
      binds: [specOf(lastValueOf(args, "--bind") ?? "[::1]:8000", found.directory)],
      handover: {
        by: "systemd",
        take(sockets) {
          if (sockets.length > 1)
            throw new HupwatchError(
              "cheroot.one-socket",
              `cheroot takes one socket, and ${sockets.length} are held`,
              {
                hint: "give one --bind",
              },
            );
          return { words };
        },
      },
      ready: "http",
      stop: { sequence: `INT/${limit + 30}s/KILL`, drain: `${limit} s (--shutdown-timeout)` },
      words,
      quirks: QUIRKS,
      notes: runnerNotes(found),
    };
  },
};

/** cli.py parse_wsgi_bind_addr: `[::1]:8000`, `host:port`, `@abstract`, or a path. Of a name the first address that binds (server.py prepare). */
function specOf(bind: string, directory: string): string {
  if (bind.startsWith("@")) return `unix:${bind}`;
  const [, host, port] = /^(\[[^\]]*\]|[^:/]*):(\d+)$/.exec(bind) ?? [];
  return host === undefined ? unixSpec(bind, directory) : firstAddress(host, port as string);
}

const QUIRKS = [
  {
    what: "it calls listen(2) again with a queue of five, in spite of hupwatch's --backlog: --request-queue-size 128 keeps clients from being refused",
    link: "https://cheroot.cherrypy.dev/en/latest/pkg/cheroot.server/",
  },
  {
    what: "one descriptor, number 3, and only because LISTEN_PID is set",
    link: "https://github.com/cherrypy/cheroot/blob/main/cheroot/server.py",
  },
];
