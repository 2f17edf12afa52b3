/** HAProxy takes descriptors where its configuration says `bind fd@3`; that cannot be said in its words. USR1 is its soft stop. */

import { resolve } from "node:path";
import type { ServerAdapter } from "../adapter.ts";
import { configText } from "../reading/config-text.ts";
import { generationPidfile } from "../reading/generation-files.ts";
import { hasFlag, lastValueOf, valuesOf, without } from "../reading/options.ts";
import { type Recognised, recognise } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

export const haproxy: ServerAdapter = {
  name: "haproxy",
  shown: [{ server: "HAProxy", takes: "`bind fd@3` in its configuration, and `--bind`", stopped: "USR1" }],
  read(command) {
    const found = recognise(command, "HAProxy", /^haproxy$/);
    if (!found) return undefined;
    const { front, args, title, directory } = found;
    const text = configOf(found);
    // It writes one below a master only, and words come before the configuration.
    const file = lastValueOf(args, "-p") ?? /^\s*pidfile\s+(\S+)/m.exec(text)?.[1];
    const pid = generationPidfile(file, directory);
    return {
      server: title,
      binds: [],
      handover: { by: "argv" },
      ready: "connect",
      stop: {
        sequence: "USR1/60s/KILL",
        drain: "no limit without hard-stop-after, so hupwatch's 60 s",
      },
      words: pid.own === undefined ? found.words : [...front, ...without(args, ["-p"]), "-p", pid.own],
      ...pid.traits,
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...pid.notes,
        ...statsNotes(text),
        ...(hasFlag(args, "-D") ? ["-D makes HAProxy leave hupwatch: drop it"] : []),
      ],
      notesWhere: {
        unbound: [
          "write 'bind fd@3' in its configuration (the second one fd@4) and give the addresses to hupwatch by --bind in this order",
        ],
      },
    };
  },
};

/** As far as `-f` names files. */
const configOf = ({ args, directory }: Recognised): string =>
  valuesOf(args, "-f")
    .map((file) => configText(resolve(directory, file)) ?? "")
    .join("\n");

/** The newest copy takes its path, and a copy that is rolled back leaves it dead; of a port each connection gets any copy. */
const statsNotes = (text: string): string[] =>
  [...text.matchAll(/^\s*stats\s+socket\s+(\S+)/gm)].flatMap(([, address = ""]) => {
    if (address.includes("HUPWATCH_GENERATION") || /^(fd|sockpair)@/.test(address)) return [];
    const own = /:\d+$/.test(address) ? "/run/haproxy/stats" : address;
    const cure = `write stats socket "${own}.$\{HUPWATCH_GENERATION}"`;
    return [`two copies fight over the stats socket ${address}: ${cure}`];
  });

const QUIRKS = [
  {
    what: "USR1 is the soft stop, TERM cuts connections",
    link: "https://docs.haproxy.org/2.6/management.html#4",
  },
];
