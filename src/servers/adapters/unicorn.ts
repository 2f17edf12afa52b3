/**
 * unicorn takes LISTEN_FDS and serves all of them, whatever it was told to bind; but it also binds what matches none of
 * them, so the addresses leave the words. QUIT is its graceful stop, TERM and INT cut (http_server.rb join).
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ServerAdapter } from "../adapter.ts";
import { firstAddress } from "../reading/addresses.ts";
import { hasFlag, lastValueOf, valuesOf, without } from "../reading/options.ts";
import { type Recognised, recognise, tcpSpec, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";

/** Seconds that a request may take before a worker is killed (configurator.rb DEFAULTS). */
const TIMEOUT = 60;

/** optparse (unicorn's bin/unicorn). */
const SPELLING: Spelling = {
  longs: ["--listen", "--host", "--port", "--config-file", "--daemonize"],
  flags: "Ddw",
};

export const unicorn: ServerAdapter = {
  name: "unicorn",
  shown: [{ server: "unicorn", takes: "LISTEN_FDS in place of `-l`, `-o`, `-p`", stopped: "QUIT" }],
  read(command) {
    const found = recognise(command, "unicorn", /^unicorn(_rails)?$/, SPELLING);
    if (!found) return undefined;
    const { front, args, words, title } = found;
    return {
      server: title,
      binds: bindsOf(found),
      handover: "systemd",
      takesExtraListener: () => true,
      ready: "http",
      stop: `QUIT/${TIMEOUT + 30}s/KILL`,
      drain: `${TIMEOUT} s for a request (timeout), then its worker is killed`,
      words,
      take: () => ({
        words: [...front, ...without(args, ["--listen", "-l"], ["--port", "-p"], ["--host", "-o"])],
      }),
      quirks: QUIRKS,
      notes: notes(found),
    };
  },
};

/** What the words say and what the config file says add up (configurator.rb listen). */
function bindsOf(found: Recognised): string[] {
  const { args, directory } = found;
  const listens = valuesOf(args, "--listen", "-l").map((l) => specOf(l, directory));
  const [host, port] = [lastValueOf(args, "--host", "-o"), lastValueOf(args, "--port", "-p")];
  if (host !== undefined || port !== undefined) listens.push(firstAddress(host ?? "", port ?? 8080));
  const { text } = configOf(found);
  const own = listensIn(text);
  // A port that it was handed it does not bind again (http_server.rb inherit_listeners!); a path of a generation is another one.
  listens.push(...own.flatMap((listen) => (listen && isPort(listen) ? [specOf(listen, directory)] : [])));
  return listens.length + own.length > 0 ? listens : ["0.0.0.0:8080"];
}

/** Of each `listen` the literal, or undefined where only Ruby can tell. */
const listensIn = (text: string): (string | undefined)[] =>
  (text.match(/^[ \t]*listen\b.*$/gm) ?? []).map(
    (line) => /^\s*listen[\s(]+(["']?)([^"'\s,#()]+)\1\s*(?:[,)#].*)?$/.exec(line)?.[2],
  );

const isPort = (listen: string) => /^([^/]*:)?\d+$/.test(listen) && !listen.startsWith("unix:");

function configOf({ args, directory }: Recognised): { name?: string; text: string } {
  const name = lastValueOf(args, "--config-file", "-c");
  const path = name && resolve(directory, name);
  return path && existsSync(path) ? { name, text: readFileSync(path, "utf8") } : { text: "" };
}

/** configurator.rb expand_addr: a bare number is a port, what has a slash or a ~ is a path. */
function specOf(address: string, directory: string): string {
  const path = address.replace(/^unix:/, "");
  if (path !== address || path.includes("/")) return unixSpec(path, directory);
  if (/^\d+$/.test(address)) return tcpSpec("0.0.0.0", address);
  const [, host = address, port = 80] = /^(.*):(\d+)$/.exec(address) ?? [];
  return firstAddress(host === "*" ? "" : host, port);
}

function notes(found: Recognised): string[] {
  const { args } = found;
  const told = runnerNotes(found);
  const { name, text } = configOf(found);
  if (listensIn(text).some((listen) => !listen || !isPort(listen)))
    told.push(
      `a path or a computed address behind 'listen' in ${name} is bound by unicorn itself: take the line out and give the address to -l or --bind`,
    );
  if (/^\s*pid\b/m.test(text))
    told.push(
      `two copies fight over the 'pid' file of ${name}: take the line out and use hupwatch's --pidfile`,
    );
  if (hasFlag(args, "--daemonize", "-D")) told.push("--daemonize makes unicorn leave hupwatch: drop it");
  return told;
}

const QUIRKS = [
  {
    what: "QUIT is graceful, TERM and INT are not",
    link: "https://yhbt.net/unicorn/SIGNALS.html",
  },
];
