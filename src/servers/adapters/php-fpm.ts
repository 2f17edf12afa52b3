/**
 * php-fpm takes descriptors by its own FPM_SOCKETS="ADDRESS=3,..." (fpm_sockets.c), matched to a pool's `listen` as it is
 * written there. It unlinks a Unix address at its exit, so a generation must know its socket by the generation's own path.
 */
import { descriptorOf } from "../../sockets/handover.ts";
import type { SocketSpec } from "../../sockets/spec.ts";
import type { Handed, ServerAdapter } from "../adapter.ts";
import { hasFlag } from "../reading/options.ts";
import { recognise } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

export const phpFpm: ServerAdapter = {
  name: "php-fpm",
  shown: [
    {
      server: "php-fpm",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: as its configuration has it
      takes: "`FPM_SOCKETS=`, and `--bind`; a Unix pool has `listen = ${HUPWATCH_SOCKET}`",
      stopped: "QUIT",
    },
  ],
  read(command) {
    const found = recognise(command, "php-fpm", /^php-fpm[0-9.]*$/);
    if (!found) return undefined;
    const { args, words, title } = found;
    return {
      server: title,
      binds: [],
      handover: "argv",
      // It speaks FastCGI.
      ready: "connect",
      stop: "QUIT/60s/KILL",
      drain: "none unless process_control_timeout is set: then so long",
      words,
      take: (sockets) => take(words, sockets),
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...(hasFlag(args, "--nodaemonize", "-F") ? [] : ["-F keeps php-fpm below hupwatch: add it"]),
      ],
      notesUnbound: [
        `give each pool's address to hupwatch by --bind; a Unix one has to be written 'listen = $\{HUPWATCH_SOCKET}' in the pool`,
      ],
    };
  },
};

function take(words: readonly string[], sockets: readonly SocketSpec[]): Handed {
  const listed = sockets.map((s, i) => `{socket:${s.name}}=${descriptorOf(i)}`).join(",");
  return { words, env: { FPM_SOCKETS: listed, HUPWATCH_SOCKET: "{socket}" } };
}

const QUIRKS = [
  {
    what: "FPM_SOCKETS is how its own USR2 hands sockets on",
    link: "https://github.com/php/php-src/blob/master/sapi/fpm/fpm/fpm_sockets.c",
  },
  {
    what: "process_control_timeout is 0 by default: running requests are cut",
    link: "https://www.php.net/manual/en/install.fpm.configuration.php",
  },
];
