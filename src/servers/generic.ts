/** Any other command: it gets what `--bind` holds by the systemd protocol, or where its words have placeholders, by them. */

import { basename } from "node:path";
import { hasPlaceholder } from "../sockets/handover.ts";
import type { ServerAdapter } from "./adapter.ts";

export const generic: ServerAdapter = {
  name: "generic",
  read: ({ words }) => ({
    server: basename(words[0] ?? ""),
    binds: [],
    handover: hasPlaceholder(words, "fd") ? "argv" : "systemd",
    takesExtraListener: false,
    ready: "connect",
    stop: "TERM/60s/KILL",
    words,
    notes: [],
  }),
};
