/**
 * Node, Bun and Deno run programs, and what a program binds only it knows: sockets come from --bind. What differs is
 * whether its HTTP server can take a descriptor at all.
 */
import { basename } from "node:path";
import type { Quirk, ServerAdapter } from "../adapter.ts";
import { recognise } from "../reading/recognise.ts";

const runtime = (name: string, title: string, quirks: readonly Quirk[]): ServerAdapter => ({
  name,
  // As the generic one, by whatever its program does.
  shown: [],
  read(command) {
    const found = recognise(command, title, new RegExp(`^${name}$`));
    if (!found) return undefined;
    return {
      server: found.title,
      binds: [],
      handover: { by: "intercept", besides: "systemd" },
      ready: "http",
      stop: {
        sequence: "TERM/60s/KILL",
        drain: "whatever the program does at TERM: without a handler it ends at once",
        hidesHandlers: true,
      },
      words: found.words,
      quirks,
      notes: [],
      notesWhere: {
        unbound: [
          `what ${basename(found.args.find((a) => !a.startsWith("-")) ?? name)} listens on is not known: give it to hupwatch with --bind and take it by LISTEN_FDS or {fd}, or as {socket}`,
        ],
      },
    };
  },
});

export const node = runtime("node", "Node.js", [
  {
    what: "server.listen({ fd: 3 }) takes a descriptor; server.close() on TERM drains, and closes idle connections",
    link: "https://nodejs.org/api/net.html#serverlistenoptions-callback",
  },
  {
    what: "server.close() does not close busy kept connections: from TERM on send 'Connection: close' with every answer, or they keep the process alive until it is killed",
    link: "https://nodejs.org/api/http.html#serverclosecallback",
  },
]);

export const bun = runtime("bun", "Bun", [
  {
    what: "Bun.serve and node:http cannot take a descriptor: with a Unix socket bind {socket}, or use Bun.listen",
    link: "https://github.com/oven-sh/bun/issues/22559",
    ofHandover: true,
  },
]);

export const deno = runtime("deno", "Deno", [
  {
    what: "Deno.serve cannot take a descriptor: with a Unix socket let it bind {socket}, or use node:http, whose server.listen({ fd: 3 }) does",
    link: "https://docs.deno.com/api/deno/~/Deno.serve",
    ofHandover: true,
  },
]);
