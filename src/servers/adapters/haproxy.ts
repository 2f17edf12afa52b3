/** HAProxy takes descriptors where its configuration says `bind fd@3`; that cannot be said in its words. USR1 is its soft stop. */
import type { ServerAdapter } from "../adapter.ts";
import { hasFlag } from "../reading/options.ts";
import { recognise } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

export const haproxy: ServerAdapter = {
  name: "haproxy",
  shown: [{ server: "HAProxy", takes: "`bind fd@3` in its configuration, and `--bind`", stopped: "USR1" }],
  read(command) {
    const found = recognise(command, "HAProxy", /^haproxy$/);
    if (!found) return undefined;
    const { args, words, title } = found;
    return {
      server: title,
      binds: [],
      handover: "argv",
      ready: "connect",
      stop: "USR1/60s/KILL",
      drain: "for ever unless hard-stop-after says less, so hupwatch's 60 s",
      words,
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...(hasFlag(args, "-D") ? ["-D makes HAProxy leave hupwatch: drop it"] : []),
      ],
      notesUnbound: [
        "write 'bind fd@3' in its configuration (the second one fd@4) and give the addresses to hupwatch by --bind in this order",
      ],
    };
  },
};

const QUIRKS = [
  {
    what: "USR1 is the soft stop, TERM cuts connections",
    link: "https://docs.haproxy.org/2.6/management.html#4",
  },
];
