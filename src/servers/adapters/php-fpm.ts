/**
 * php-fpm takes descriptors by its own FPM_SOCKETS="ADDRESS=3,..." (fpm_sockets.c), matched to a pool's `listen` as it is
 * written there. It unlinks a Unix address at its exit, so a generation must know its socket by the generation's own path
 * (HUPWATCH_SOCKET), or its calls are answered (interception): then its configuration stays as it is.
 */
import { resolve } from "node:path";
import { descriptorOf } from "../../sockets/handover.ts";
import type { SocketSpec } from "../../sockets/spec.ts";
import type { Handed, ServerAdapter, ServerTraits } from "../adapter.ts";
import { sharedPidfileNote } from "../reading/generation-files.ts";
import { hasFlag, lastValueOf } from "../reading/options.ts";
import { type Recognised, recognise, tcpSpec, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import { ASKED_SOCKET, askPhpFpm, type Pool } from "./php-fpm-settings.ts";

export const phpFpm: ServerAdapter = {
  name: "php-fpm",
  shown: [
    {
      server: "php-fpm",
      takes:
        // biome-ignore lint/suspicious/noTemplateCurlyInString: as its configuration has it
        "the pools' own addresses, intercepted; or `FPM_SOCKETS=`, with `listen = ${HUPWATCH_SOCKET}` and `--bind`",
      stopped: "QUIT",
    },
  ],
  read(command) {
    const found = recognise(command, "php-fpm", /^php-fpm[0-9.]*$/);
    if (!found) return undefined;
    const { args, words, title, directory } = found;
    const settings = askPhpFpm(found);
    // Its configuration comes before its words, so that no generation can have a file of its own.
    const configured = settings?.pidfile ?? lastValueOf(args, "--pid", "-g");
    const pidfile = configured === undefined ? undefined : resolve(directory, configured);
    return {
      server: title,
      ...addressesOf(settings?.pools ?? [], found),
      ...(pidfile === undefined ? {} : { pidfile: { path: pidfile } }),
      // It speaks FastCGI.
      ready: "connect",
      stop: { sequence: "QUIT/60s/KILL", drain: "none, or as long as process_control_timeout says" },
      words,
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...(pidfile === undefined ? [] : [sharedPidfileNote(pidfile)]),
        ...(hasFlag(args, "--nodaemonize", "-F") ? [] : ["add -F: without it php-fpm leaves hupwatch"]),
      ],
      notesWhere: {
        unbound: [
          `give each pool's address to hupwatch by --bind; a Unix one has to be written 'listen = $\{HUPWATCH_SOCKET}' in the pool`,
        ],
      },
    };
  },
};

/** Pools that bind by themselves are intercepted; those that have HUPWATCH_SOCKET take what `--bind` holds. */
function addressesOf(
  pools: readonly Pool[],
  { directory, words }: Recognised,
): Pick<ServerTraits, "binds" | "handover" | "sockets"> {
  const rights = ({ mode, owner, group }: Pool) => ({
    mode: Number.parseInt(mode, 8),
    owner: { user: owner, group },
  });
  const [handed] = pools.filter(({ listen }) => listen === ASKED_SOCKET);
  if (handed || pools.length === 0)
    return {
      binds: [],
      handover: { by: "argv", take: (sockets) => take(words, sockets) },
      ...(handed ? { sockets: rights(handed) } : {}),
    };
  const binds = pools.map((pool) => [specOf(pool.listen, directory), rights(pool)] as const);
  return {
    binds: binds.map(([bind]) => bind),
    handover: { by: "intercept" },
    sockets: { of: Object.fromEntries(binds) },
  };
}

/** fpm_sockets.c: a bare port is both families, and so is `*`. */
function specOf(listen: string, directory: string): string {
  if (listen.includes("/")) return unixSpec(listen, directory);
  const [, host = "", port = listen] = /^(.*):(\d+)$/.exec(listen) ?? [];
  return tcpSpec(host === "" || host === "*" ? "::" : host, port);
}

function take(words: readonly string[], sockets: readonly SocketSpec[]): Handed {
  const listed = sockets.map((s, i) => `{socket:${s.name}}=${descriptorOf(i)}`).join(",");
  return { words, env: { FPM_SOCKETS: listed, HUPWATCH_SOCKET: "{socket}" } };
}

const QUIRKS = [
  {
    what: "FPM_SOCKETS is how its own USR2 passes sockets on",
    link: "https://github.com/php/php-src/blob/master/sapi/fpm/fpm/fpm_sockets.c",
  },
  {
    what: "process_control_timeout is 0 by default: running requests are cut",
    link: "https://www.php.net/manual/en/install.fpm.configuration.php",
  },
];
