/** Any other command: it gets what `--bind` holds by the systemd protocol, or where its words have placeholders, by them. */

import { basename } from "node:path";
import { hasPlaceholder } from "../../sockets/handover.ts";
import type { ServerAdapter } from "../adapter.ts";

export const generic: ServerAdapter = {
  name: "generic",
  shown: [
    {
      server: "Node, Deno's node:http, Bun.listen, Go, Rust, ...",
      takes: "LISTEN_FDS or `{fd}`, and `--bind`",
      stopped: "TERM",
    },
    {
      server: "Bun.serve, Deno.serve",
      takes: "take no descriptor: `{socket}`, a hidden Unix path each time; their ports cannot be steered",
      stopped: "TERM",
    },
  ],
  read: ({ words }) => ({
    server: basename(words[0] ?? ""),
    binds: [],
    handover: hasPlaceholder(words, "fd") ? "argv" : "systemd",
    ready: "connect",
    stop: "TERM/60s/KILL",
    drain: "whatever it does at TERM; killed after 60 s",
    words,
    quirks: [
      {
        what: "Go: activation.Listeners() of coreos/go-systemd; http.Server.Shutdown drains",
        link: "https://pkg.go.dev/github.com/coreos/go-systemd/v22/activation",
      },
      {
        what: "Rust: the listenfd crate takes LISTEN_FDS; set the listener non-blocking for tokio",
        link: "https://docs.rs/listenfd",
      },
    ],
    notes: [],
    notesUnseen: hiddenBy(words),
  }),
};

/** `sh -c 'cd x && gunicorn ...'`, `npm start`: the server is not seen, and a wrapper may stay in front of it. */
function hiddenBy(words: readonly string[]): string[] {
  const name = basename(words[0] ?? "");
  const isShell = /^(ba|da|z|k|a)?sh$/.test(name) && words.includes("-c");
  if (isShell)
    return [
      "a shell hides the server from hupwatch, and LISTEN_PID and signals may miss it: put the server's own words behind --, or at least 'exec' before them and its addresses into --bind; or use --handover intercept, which sees the server",
    ];
  return /^(npm|yarn|pnpm|sudo|su)$/.test(name)
    ? [
        `'${name}' stays as a process in front of the server, and LISTEN_PID and signals may miss it: put the server's own words behind --, or use --handover intercept, which sees the server`,
      ]
    : [];
}
