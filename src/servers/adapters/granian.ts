/**
 * granian takes no descriptor. Its Unix socket is bound per generation at a path of its own; its ports it opens with
 * SO_REUSEPORT by itself, and what waits in a leaving copy's queue is reset with it: nothing hupwatch can steer.
 */
import { HupwatchError } from "../../error.ts";
import type { ServerAdapter } from "../adapter.ts";
import { hasFlag, lastValueOf, withMore, without } from "../reading/options.ts";
import { recognise, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

export const granian: ServerAdapter = {
  name: "granian",
  shown: [
    {
      server: "granian",
      takes: "takes no descriptor: binds a hidden Unix path of its own each time; ports cannot be steered",
      stopped: "TERM",
    },
  ],
  read(command) {
    const found = recognise(command, "granian", /^granian$/);
    if (!found) return undefined;
    const { front, args, words, title, env } = found;
    const path = lastValueOf(args, "--uds") ?? env.GRANIAN_UDS;
    return {
      server: title,
      binds: path === undefined ? [] : [unixSpec(path, found.directory)],
      handover: {
        by: "path",
        take(sockets) {
          if (sockets.length !== 1 || sockets[0]?.address.kind !== "unix")
            throw new HupwatchError(
              "granian.no-descriptor",
              "granian takes no descriptor, only the path of one Unix socket",
              {
                hint: "give it --uds /path (or hupwatch --bind unix:/path), and let a proxy listen on the port",
              },
            );
          return { words: [...front, ...withMore(without(args, ["--uds"]), ["--uds", "{socket}"])] };
        },
      },
      ready:
        (lastValueOf(args, "--ssl-certificate") ?? env.GRANIAN_SSL_CERTIFICATE) === undefined
          ? "http"
          : "connect",
      stop: {
        sequence: "TERM/60s/KILL",
        drain: "no limit without --workers-kill-timeout, so hupwatch's 60 s",
      },
      words,
      releasePaths: { directories: ["--working-dir"] },
      quirks: QUIRKS,
      notesWhere: {
        unbound: [
          "granian takes no descriptor: on a port both copies listen with SO_REUSEPORT, and a swap may drop connections that wait for the old one; use --uds",
        ],
      },
      notes: [
        ...runnerNotes(found),
        ...(hasFlag(args, "--reload") ? ["--reload restarts without hupwatch: for development only"] : []),
      ],
    };
  },
};

const QUIRKS = [
  {
    what: "socket activation is an open feature request",
    link: "https://github.com/emmett-framework/granian/issues/786",
  },
];
