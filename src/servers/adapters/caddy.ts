/** Caddy takes descriptors where its configuration says `bind fd/3` (2.9 on). TERM waits for requests, QUIT does not. */
import type { ServerAdapter } from "../adapter.ts";
import { recognise } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

export const caddy: ServerAdapter = {
  name: "caddy",
  shown: [
    { server: "Caddy", takes: "`bind fd/3` in its configuration (2.9), and `--bind`", stopped: "TERM" },
  ],
  read(command) {
    const found = recognise(command, "Caddy", /^caddy$/);
    if (!found) return undefined;
    return {
      server: found.title,
      binds: [],
      handover: { by: "argv" },
      ready: "http",
      stop: {
        sequence: "TERM/60s/KILL",
        drain: "no limit without grace_period, so hupwatch's 60 s",
      },
      words: found.words,
      configFiles: ["Caddyfile"],
      quirks: QUIRKS,
      notes: runnerNotes(found),
      notesWhere: {
        unbound: [
          "write 'bind fd/3' into each site of the Caddyfile (2.9 or newer) and give the address to hupwatch by --bind; two copies also need 'admin off', or an admin address each",
        ],
      },
    };
  },
};

const QUIRKS = [
  { what: "fd/3 as an address", link: "https://caddyserver.com/docs/conventions#network-addresses" },
  { what: "TERM is graceful, QUIT ends at once", link: "https://caddyserver.com/docs/command-line#signals" },
];
