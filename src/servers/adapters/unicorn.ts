/**
 * unicorn takes LISTEN_FDS and serves all of them, whatever it was told to bind; but it also binds what matches none of
 * them, so the addresses leave the words. QUIT is its graceful stop, TERM and INT cut (http_server.rb join).
 */
import { resolve } from "node:path";
import type { ServerAdapter } from "../adapter.ts";
import { firstAddress } from "../reading/addresses.ts";
import { configText } from "../reading/config-text.ts";
import { generationPidfile } from "../reading/generation-files.ts";
import { hasFlag, lastValueOf, valuesOf, without } from "../reading/options.ts";
import { type Recognised, recognise, tcpSpec, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";
import { askUnicorn, type UnicornSettings } from "./unicorn-settings.ts";

/** Seconds that a request may take before a worker is killed (configurator.rb DEFAULTS). */
const TIMEOUT = 60;

/** optparse (unicorn's bin/unicorn). */
const SPELLING: Spelling = {
  longs: ["--listen", "--host", "--port", "--config-file", "--daemonize"],
  flags: "Ddw",
};

export const unicorn: ServerAdapter = {
  name: "unicorn",
  shown: [
    {
      server: "unicorn",
      takes: "LISTEN_FDS in place of `-l`, `-o`, `-p` and of the config file's `listen`",
      stopped: "QUIT",
    },
  ],
  read(command) {
    const found = recognise(command, "unicorn", /^unicorn(_rails)?$/, SPELLING);
    if (!found) return undefined;
    const { front, args, title, directory } = found;
    const config = configOf(found);
    const pid = generationPidfile(config.settings?.pid, directory);
    const own = config.isForked ? ["-e", prelude(config), ...args] : args;
    return {
      server: title,
      binds: bindsOf(found, config),
      handover: {
        by: "systemd",
        takesExtra: () => true,
        take: () => ({
          words: [...front, ...without(own, ["--listen", "-l"], ["--port", "-p"], ["--host", "-o"])],
        }),
      },
      ready: "http",
      stop: {
        sequence: `QUIT/${TIMEOUT + 30}s/KILL`,
        drain: `${TIMEOUT} s for a request (timeout), then its worker is killed`,
      },
      words: [...front, ...own],
      ...pid.traits,
      // socket_helper.rb bind_listen: umask 0, unless the config file has another one for a listen.
      sockets: {
        mode: 0o777,
        of: Object.fromEntries(
          (config.settings?.listens ?? []).map(({ address, umask }) => [
            specOf(address, directory),
            { mode: 0o777 & ~umask },
          ]),
        ),
      },
      ...(config.unknown === undefined ? {} : { unknownBinds: config.unknown }),
      quirks: QUIRKS,
      notes: [...runnerNotes(found), ...pid.notes, ...notes(found)],
    };
  },
};

/**
 * Evaluated before the config file is: what that listens at, the sockets that it is handed are; and its pid file gets the generation's
 * number (configurator.rb listen, pid), unless the file gives it one. A pid file of another generation is "Already running".
 */
const prelude = ({ numbersItself }: Config): string =>
  [
    'require "unicorn"',
    "Unicorn::Configurator.prepend(Module.new {",
    "  def listen(*); end",
    ...(numbersItself ? [] : ['  def pid(path); super(path && "#{path}.{gen}"); end']),
    "})",
  ].join("\n");

interface Config {
  /** Literal ones of the file where it was not asked. */
  listens: string[];
  settings?: UnicornSettings;
  unknown?: string;
  /** It has lines by which two copies would fight. */
  isForked: boolean;
  /** It has HUPWATCH_GENERATION in it. */
  numbersItself: boolean;
}

/** It is asked only where it says more than ports: the rest a look can read. */
function configOf(found: Recognised): Config {
  const { args, directory } = found;
  const name = lastValueOf(args, "--config-file", "-c");
  const path = name && resolve(directory, name);
  const text = (path && configText(path)) ?? "";
  const literals = listensIn(text);
  const ports = literals.filter((listen) => listen !== undefined && isPort(listen)) as string[];
  const numbersItself = text.includes("HUPWATCH_GENERATION");
  const hasPid = /^\s*pid\b/m.test(text) && !numbersItself;
  const config = { isForked: hasPid || ports.length < literals.length, numbersItself };
  if (!path || !config.isForked) return { listens: ports, ...config };
  const told = askUnicorn(found, path);
  if ("unasked" in told) {
    const unknown = `the settings of ${name} are not known, since unicorn could not be run: ${told.unasked}`;
    return { listens: ports, unknown, ...config };
  }
  const { pid, ...settings } = told;
  return {
    listens: told.listens.map(({ address }) => address),
    settings: numbersItself ? settings : told,
    ...config,
  };
}

/** What the words say and what the config file says add up (configurator.rb listen). */
function bindsOf({ args, directory }: Recognised, config: Config): string[] {
  const listens = valuesOf(args, "--listen", "-l").map((l) => specOf(l, directory));
  const [host, port] = [lastValueOf(args, "--host", "-o"), lastValueOf(args, "--port", "-p")];
  if (host !== undefined || port !== undefined) listens.push(firstAddress(host ?? "", port ?? 8080));
  listens.push(...config.listens.map((listen) => specOf(listen, directory)));
  return listens.length > 0 || config.unknown !== undefined ? [...new Set(listens)] : ["0.0.0.0:8080"];
}

/** Of each `listen` the literal, or undefined where only Ruby can tell. */
const listensIn = (text: string): (string | undefined)[] =>
  (text.match(/^[ \t]*listen\b.*$/gm) ?? []).map(
    (line) => /^\s*listen[\s(]+(["']?)([^"'\s,#()]+)\1\s*(?:[,)#].*)?$/.exec(line)?.[2],
  );

const isPort = (listen: string) => /^([^/]*:)?\d+$/.test(listen) && !listen.startsWith("unix:");

/** configurator.rb expand_addr: a bare number is a port, what has a slash or a ~ is a path. */
function specOf(address: string, directory: string): string {
  const path = address.replace(/^unix:/, "");
  if (path !== address || path.includes("/")) return unixSpec(path, directory);
  if (/^\d+$/.test(address)) return tcpSpec("0.0.0.0", address);
  const [, host = address, port = 80] = /^(.*):(\d+)$/.exec(address) ?? [];
  return firstAddress(host === "*" ? "" : host, port);
}

const notes = ({ args }: Recognised): string[] =>
  hasFlag(args, "--daemonize", "-D") ? ["--daemonize makes unicorn leave hupwatch: leave it out"] : [];

const QUIRKS = [
  {
    what: "QUIT is graceful, TERM and INT are not",
    link: "https://yhbt.net/unicorn/SIGNALS.html",
  },
];
