/**
 * nginx takes descriptors by its own NGINX="3;4;" (nginx.c ngx_add_inherited_sockets), the way its binary upgrade hands
 * them on, and then does not daemonize. Each is matched to a `listen` by its address: a port matches, a generation's own
 * Unix path cannot. QUIT is graceful, TERM and INT are not.
 */
import { resolve } from "node:path";
import { HupwatchError } from "../../error.ts";
import { descriptorOf } from "../../sockets/handover.ts";
import type { SocketSpec } from "../../sockets/spec.ts";
import type { ServerAdapter } from "../adapter.ts";
import { configText } from "../reading/config-text.ts";
import { sharedPidfileNote } from "../reading/generation-files.ts";
import { lastValueOf, valuesOf } from "../reading/options.ts";
import { type Recognised, recognise } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";

export const nginx: ServerAdapter = {
  name: "nginx",
  shown: [
    {
      server: "nginx",
      takes: "`NGINX=`, ports only, made non-blocking for it; the `listen` ports given to `--bind`",
      stopped: "QUIT",
    },
  ],
  read(command) {
    const found = recognise(command, "nginx", /^(nginx|openresty|angie|freenginx)$/);
    if (!found) return undefined;
    const { words, title } = found;
    const pidfile = pidfileOf(found);
    return {
      server: title,
      // Its addresses stand in nginx.conf, which only nginx can read.
      binds: [],
      handover: {
        by: "argv",
        nonblocking: true,
        take: (sockets) => ({ words, env: { NGINX: inherited(sockets) } }),
      },
      ready: "http",
      stop: {
        sequence: "QUIT/60s/KILL",
        drain: "no limit without worker_shutdown_timeout, so hupwatch's 60 s",
      },
      words: inForeground(found),
      ...(pidfile === undefined ? {} : { pidfile: { path: pidfile } }),
      quirks: QUIRKS,
      notes: [...runnerNotes(found), ...(pidfile === undefined ? [] : [sharedPidfileNote(pidfile)])],
      notesWhere: {
        unbound: [
          "each port of nginx.conf has to be given to hupwatch by --bind, written as 'listen' has it",
        ],
      },
    };
  },
};

/** One that inherits its sockets stays; any other leaves for the background, unless it is told not to. A second `-g` takes the first one's place. */
function inForeground({ words, args, directory }: Recognised): string[] {
  const config = configText(resolve(directory, lastValueOf(args, "-c") ?? "/etc/nginx/nginx.conf")) ?? "";
  const isSaid = valuesOf(args, "-g").length > 0 || /(?:^|[;\n])\s*daemon\s/.test(config);
  return isSaid ? [...words] : [...words, "-g", "daemon off;"];
}

/** `pid` of the words' -g or of the configuration; one that is not absolute only nginx can place. */
function pidfileOf({ args, directory }: Recognised): string | undefined {
  const config = resolve(directory, lastValueOf(args, "-c") ?? "/etc/nginx/nginx.conf");
  const texts = [...valuesOf(args, "-g"), configText(config) ?? ""];
  const found = texts.map((text) => /(?:^|[;\n])\s*pid\s+(\/[^\s;]+)\s*;/.exec(text)?.[1]);
  return found.find((path) => path !== undefined);
}

function inherited(sockets: readonly SocketSpec[]): string {
  const unix = sockets.find((s) => s.address.kind === "unix" || s.address.kind === "abstract");
  if (unix)
    throw new HupwatchError(
      "nginx.unix",
      `nginx cannot be passed '${unix.text}': it knows Unix sockets by their path`,
      {
        hint: "let it listen on a port, or reload it by its own HUP",
      },
    );
  return sockets.map((_, i) => `${descriptorOf(i)};`).join("");
}

const QUIRKS = [
  {
    what: 'it does not make an inherited socket non-blocking ("TODO: nonblocking"): a worker that comes too late for a connection then waits in accept(2), with all its clients, until the next one comes; so hupwatch passes it non-blocking',
    link: "https://github.com/nginx/nginx/blob/master/src/core/ngx_connection.c",
  },
  {
    what: "every copy writes the pid file of nginx.conf, and removes it when it ends: hupwatch writes its own pid there again",
    link: "https://nginx.org/en/docs/control.html",
  },
];
