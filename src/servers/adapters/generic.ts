/**
 * Any other command: its own bind is given what is held, and what `--bind` holds it may take by the systemd protocol as well. Where its words
 * have placeholders, by them.
 */

import { basename } from "node:path";
import type { ServerAdapter } from "../adapter.ts";

export const generic: ServerAdapter = {
  name: "generic",
  shown: [
    {
      server: "any other command: Node, Go, Rust, Java, Rails, `npm start`, ...",
      takes: "its own bind, intercepted; or with `--bind` LISTEN_FDS or `{fd}`",
      stopped: "TERM",
    },
    {
      server: "Bun.serve, Deno.serve",
      takes: "their own bind, intercepted; or `{socket}`, a hidden Unix path each time",
      stopped: "TERM",
    },
  ],
  read: ({ words }) => ({
    server: basename(words[0] ?? ""),
    binds: [],
    handover: { by: "intercept", besides: "systemd" },
    ready: "connect",
    stop: { sequence: "TERM/60s/KILL", drain: "whatever it does at TERM; killed after 60 s" },
    words,
    quirks: [
      {
        what: "Go: activation.Listeners() of coreos/go-systemd; http.Server.Shutdown drains",
        link: "https://pkg.go.dev/github.com/coreos/go-systemd/v22/activation",
        ofHandover: true,
      },
      {
        what: "Rust: the listenfd crate takes LISTEN_FDS; set the listener non-blocking for tokio",
        link: "https://docs.rs/listenfd",
        ofHandover: true,
      },
    ],
    notes: [],
    notesWhere: { unseen: hiddenBy(words) },
  }),
};

/** What waits for the command that it starts; nice(1), env(1) and their like become it. */
const STAYS = /^(npm|yarn|pnpm|make|sudo|doas|su|runuser|timeout|flock)$/;

/** `sh -c 'cd x && gunicorn ...'`, `npm start`: the server is not seen, and a wrapper may stay in front of it. */
function hiddenBy(words: readonly string[]): string[] {
  const name = basename(words[0] ?? "");
  const isShell = /^(ba|da|z|k|a)?sh$/.test(name) && words.includes("-c");
  if (isShell)
    return [
      "a shell hides the server from hupwatch, and LISTEN_PID and signals may miss it: put the server's own command line behind --, or at least 'exec' before it and its addresses into --bind",
    ];
  if (name.endsWith(".sh"))
    return [
      `'${name}' hides the server from hupwatch, and unless it ends with 'exec' LISTEN_PID and signals may miss it: put its addresses into --bind`,
    ];
  return STAYS.test(name)
    ? [
        `'${name}' stays as a process in front of the server, and LISTEN_PID and signals may miss the server: put its own command line behind --`,
      ]
    : [];
}
