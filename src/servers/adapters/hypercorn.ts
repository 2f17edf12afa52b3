/**
 * hypercorn takes any number of descriptors, each as a bind `fd://N` (config.py create_sockets); no LISTEN_FDS. It never
 * unlinks a path.
 */
import { descriptorOf } from "../../sockets/handover.ts";
import type { Handed, ServerAdapter } from "../adapter.ts";
import { generationPidfile } from "../reading/generation-files.ts";
import { hasFlag, lastValueOf, valuesOf, withMore, without } from "../reading/options.ts";
import { type Recognised, recognise, tcpSpec, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";
import { askHypercorn } from "./hypercorn-settings.ts";

/** Seconds; config.py graceful_timeout. */
const GRACEFUL_TIMEOUT = 3;

/** argparse (hypercorn/__main__.py). */
const SPELLING: Spelling = {
  longs: [
    ...["--bind", "--config", "--graceful-timeout", "--umask", "--certfile", "--pid", "--reload"],
    ...["--insecure-bind", "--quic-bind", "--user", "--group"],
  ],
  flags: "h",
  dropsEquals: "bcmpug",
};

export const hypercorn: ServerAdapter = {
  name: "hypercorn",
  shown: [{ server: "hypercorn", takes: "`--bind fd://N`", stopped: "TERM" }],
  read(command) {
    const found = recognise(command, "hypercorn", /^hypercorn$/, SPELLING);
    if (!found) return undefined;
    const { front, args, title } = found;
    const given = valuesOf(args, "--bind", "-b");
    const config = lastValueOf(args, "--config", "-c");
    const told = config === undefined ? undefined : askHypercorn(found, config);
    const settings = told && "unasked" in told ? undefined : told;
    // A bind in the words beats those of a config file.
    const pid = generationPidfile(lastValueOf(args, "--pid", "-p") ?? settings?.pidfile, found.directory);
    // Words beat the config file.
    const ownArgs =
      pid.own === undefined ? args : withMore(without(args, ["--pid", "-p"]), ["--pid", pid.own]);
    const own = config === undefined ? ["127.0.0.1:8000"] : (settings?.bind ?? []);
    const binds = given.length > 0 ? given : own;
    const limit = Number(
      lastValueOf(args, "--graceful-timeout") ?? settings?.gracefulTimeout ?? GRACEFUL_TIMEOUT,
    );
    const umask = lastValueOf(args, "--umask", "-m") ?? settings?.umask;
    const user = lastValueOf(args, "--user", "-u") ?? settings?.user;
    const group = lastValueOf(args, "--group", "-g") ?? settings?.group;
    return {
      server: title,
      binds: binds.map((bind) => specOf(bind, found.directory)),
      handover: {
        by: "argv",
        takesExtra: () => true,
        take: (sockets) => take({ ...found, args: ownArgs }, sockets),
      },
      ready: lastValueOf(args, "--certfile") === undefined && !settings?.tls ? "http" : "connect",
      stop: {
        sequence: `TERM/${limit + 30}s/KILL`,
        drain: `${limit} s (--graceful-timeout), then it cuts requests`,
      },
      words: [...front, ...ownArgs],
      ...pid.traits,
      sockets: {
        ...(umask === undefined ? {} : { mode: 0o777 & ~Number(umask) }),
        // config.py: one alone changes nothing.
        ...(user === undefined || group === undefined
          ? {}
          : { owner: { user: `${user}`, group: `${group}` } }),
      },
      quirks: QUIRKS,
      notes: [...notes(found, settings?.others ?? []), ...pid.notes],
      ...(told && "unasked" in told && given.length === 0
        ? {
            unknownBinds: `the binds of ${config} are not known, since hypercorn could not be run: ${told.unasked}`,
          }
        : {}),
    };
  },
};

const specOf = (bind: string, directory: string): string => {
  if (bind.startsWith("unix:")) return unixSpec(bind.slice(5), directory);
  if (bind.startsWith("fd://")) return bind;
  const bare = bind.replace(/[[\]]/g, "");
  const [, host = bare, port = 8000] = /^(.*):(\d+)$/.exec(bare) ?? [];
  return tcpSpec(host, port);
};

function take({ front, args }: Recognised, sockets: readonly unknown[]): Handed {
  const binds = sockets.flatMap((_, i) => ["--bind", `fd://${descriptorOf(i)}`]);
  return { words: [...front, ...withMore(without(args, ["--bind", "-b"]), binds)] };
}

function notes(found: Recognised, others: readonly string[]): string[] {
  const { args } = found;
  const told = runnerNotes(found);
  for (const option of ["--insecure-bind", "--quic-bind"])
    if (lastValueOf(args, option) !== undefined)
      told.push(`hypercorn itself binds ${option}, and two copies cannot: leave it out`);
  for (const address of others)
    told.push(`hypercorn itself binds ${address} of its config file, and two copies cannot: leave it out`);
  if (hasFlag(args, "--reload")) told.push("--reload restarts without hupwatch: for development only");
  return told;
}

const QUIRKS = [
  {
    what: "with several workers the first one that has drained makes hypercorn end the others, and cut their slow requests",
    link: "https://github.com/pgjones/hypercorn/blob/main/src/hypercorn/run.py",
  },
];
