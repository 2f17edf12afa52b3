/**
 * puma takes LISTEN_FDS, but closes and unlinks every socket that matches none of its binds (binder.rb
 * close_unused_activated_sockets). A Unix socket of a generation has a path of its own and so never matches:
 * --bind-to-activated-sockets=only makes the binds from what was handed over, and forgets those of config/puma.rb.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ServerAdapter } from "../adapter.ts";
import { firstAddress, loopbackAddresses } from "../reading/addresses.ts";
import { hasFlag, lastValueOf, valuesOf, withMore, without } from "../reading/options.ts";
import { type Recognised, recognise, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";
import { askPuma } from "./puma-settings.ts";

/** optparse (puma/cli.rb). */
const SPELLING: Spelling = {
  longs: ["--bind", "--port", "--pidfile", "--control-url", "--no-config", "--config", "--environment"],
  flags: "qv",
};

export const puma: ServerAdapter = {
  name: "puma",
  shown: [{ server: "puma", takes: "LISTEN_FDS with `--bind-to-activated-sockets=only`", stopped: "TERM" }],
  read(command) {
    const found = recognise(command, "puma", /^puma$/, SPELLING);
    if (!found) return undefined;
    const { front, args, words, title } = found;
    const { binds, unknown } = bindsOf(found);
    return {
      server: title,
      binds: binds.flatMap((bind) => specsOf(bind, found.directory)),
      handover: "systemd",
      takesExtraListener: () => true,
      ready: binds.some((b) => b.startsWith("ssl:")) ? "connect" : "http",
      stop: "TERM/60s/KILL",
      drain: "for ever (force_shutdown_after), so hupwatch's 60 s",
      words,
      take: () => ({
        // The URIs of TLS carry the certificates: those binds must stay to be matched by address.
        words: [
          ...front,
          ...withMore(
            binds.some((b) => b.startsWith("ssl:"))
              ? args
              : without(args, ["--bind", "-b"], ["--port", "-p"]),
            ["--bind-to-activated-sockets=only"],
          ),
        ],
      }),
      ...(unknown === undefined ? {} : { unknownBinds: unknown }),
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...(lastValueOf(args, "--pidfile") === undefined
          ? []
          : ["every copy writes the same --pidfile: leave it out and use hupwatch's --pidfile"]),
        ...(hasFlag(args, "--control-url")
          ? ["two copies cannot share a --control-url: leave it out, or put {gen} into its path"]
          : []),
      ],
    };
  },
};

interface Binds {
  binds: string[];
  /** Why they are not known: the file has addresses that only Ruby can tell, and did not. */
  unknown?: string;
}

/** The words beat the config file (Puma::Configuration's layers); without either it is 0.0.0.0:9292. */
function bindsOf(found: Recognised): Binds {
  const { args, env, directory } = found;
  const words = [
    ...valuesOf(args, "--bind", "-b"),
    ...valuesOf(args, "--port", "-p").map((port) => `tcp://0.0.0.0:${port}`),
  ];
  const config = configOf(args, env, directory);
  const known = (binds: string[]): Binds => ({ binds: binds.length > 0 ? binds : ["tcp://0.0.0.0:9292"] });
  if (words.length > 0 || config === undefined) return known(words);
  const lines = readFileSync(config, "utf8").match(/^\s*(bind|port|ssl_bind)\b.*$/gm) ?? [];
  const binds = lines.map((line) => literal(line.trim(), env)).filter((bind) => bind !== undefined);
  if (binds.length === lines.length) return known(binds);
  const told = askPuma(found, config);
  if (!("unasked" in told)) return known(told);
  return {
    binds: [],
    unknown: `${config} computes its addresses, and puma could not be asked for them: ${told.unasked}`,
  };
}

function configOf(args: readonly string[], env: Readonly<Record<string, string>>, directory: string) {
  if (hasFlag(args, "--no-config")) return undefined;
  const given = lastValueOf(args, "--config", "-C");
  if (given === "-") return undefined;
  const name = lastValueOf(args, "--environment", "-e") ?? env.RACK_ENV ?? env.RAILS_ENV ?? "development";
  const standard = [`config/puma/${name}.rb`, "config/puma.rb"];
  return (given === undefined ? standard : [given])
    .map((path) => resolve(directory, path))
    .find((path) => existsSync(path));
}

/** `bind "..."`, `port 3000`, and the lines that `rails new` writes: `port ENV.fetch("PORT", 3000)`, with a block, too. */
function literal(line: string, env: Readonly<Record<string, string>>): string | undefined {
  const bind = /^bind[\s(]+(["'])([^"'#]+)\1\)?\s*(#.*)?$/.exec(line);
  if (bind?.[2]) return bind[2];
  const port = /^port[\s(]+["']?(\d+)["']?\)?\s*(#.*)?$/.exec(line);
  if (port) return `tcp://0.0.0.0:${port[1]}`;
  const fetched = /^port[\s(]+ENV(?:\.fetch\(|\[)["'](\w+)["'][\])]?[\s,{|(]*(\d+)?[\s})]*$/.exec(line);
  const value = fetched && (env[fetched[1] as string] ?? fetched[2]);
  return value ? `tcp://0.0.0.0:${value}` : undefined;
}

/** binder.rb add_tcp_listener. */
function specsOf(uri: string, directory: string): string[] {
  const unix = /^unix:\/\/([^?]*)/.exec(uri);
  if (unix) return [unixSpec(unix[1]?.startsWith("/") ? unix[1] : join(directory, unix[1] ?? ""), directory)];
  const [, host = "0.0.0.0", port = "9292"] =
    /^(?:tcp|ssl):\/\/(\[[^\]]*\]|[^:?/]*)(?::(\d+))?/.exec(uri) ?? [];
  if (host === "localhost") return loopbackAddresses(port);
  return [firstAddress(host === "*" ? "" : host, port)];
}

const QUIRKS = [
  {
    what: "it ends by the signal it was asked with (raise_exception_on_sigterm): exit -15 is success",
    link: "https://github.com/puma/puma/blob/master/docs/signals.md",
  },
  {
    what: "sockets that match no bind are closed and their paths unlinked, hence --bind-to-activated-sockets",
    link: "https://github.com/puma/puma/blob/master/docs/systemd.md",
  },
];
