/**
 * uWSGI takes descriptors as addresses, `--http-socket fd://N` and `--socket fd://N`; by LISTEN_FDS they would all speak
 * the uwsgi protocol. TERM reloads it brutally and never ends it (master.c), die-on-term cuts what is running: the way
 * out that waits for its workers is a reload that ends in an exit, HUP with --exit-on-reload (master_utils.c).
 */
import { realpathSync } from "node:fs";
import { descriptorOf } from "../../sockets/handover.ts";
import type { Handed, ServerAdapter, ServerTraits } from "../adapter.ts";
import { generationPidfile, isOwn } from "../reading/generation-files.ts";
import { hasFlag, lastValueOf, valuesOf, without } from "../reading/options.ts";
import { type Recognised, recognise, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";
import { configOf, type UwsgiConfig } from "./uwsgi-config.ts";

/** Options that bind, and whether their sockets speak HTTP. */
const BINDING: readonly (readonly [long: string, protocol: "http" | "other", short?: string])[] = [
  ["--http-socket", "http"],
  ["--socket", "other", "-s"],
  ["--uwsgi-socket", "other"],
  ["--fastcgi-socket", "other"],
  ["--scgi-socket", "other"],
  ["--http11-socket", "http"],
  // TLS.
  ["--https-socket", "other"],
  ["--suwsgi-socket", "other"],
];
/** Options that name files and directories which are imported from, also by late workers. */
const PATHS = ["--chdir2", "--pythonpath", "--python-path", "--pp", "--wsgi-file", "--file"].concat([
  "--home",
  "--virtualenv",
  "--venv",
  "--pyhome",
]);
/** Seconds; --worker-reload-mercy. */
const MERCY = 60;

/** getopt_long(3) (uwsgi's core/uwsgi.c). */
const SPELLING: Spelling = {
  longs: [
    ...BINDING.map(([long]) => long),
    ...["--chmod-socket", "--chown-socket", "--umask", "--uid", "--gid"],
    ...["--worker-reload-mercy", "--reload-mercy", "--master-fifo", "--emperor"],
    ...["--master", "--exit-on-reload", "--ignore-sigpipe", "--http", "--daemonize", "--pidfile", "--stats"],
  ],
};

export const uwsgi: ServerAdapter = {
  name: "uwsgi",
  shown: [
    {
      server: "uWSGI",
      takes:
        "`--http-socket fd://N` or `--socket fd://N` in place of its own; those of a config file are intercepted",
      stopped: "HUP with `--exit-on-reload`: TERM is brutal",
    },
  ],
  read(command) {
    const found = recognise(command, "uWSGI", /^uwsgi(-core|_python3?)?$/, SPELLING);
    if (!found) return undefined;
    const { args, front, title, directory } = found;
    const config = configOf(found);
    // Of a single value the last one counts, and words behind the config file come after it.
    const all = [...config.words, ...args];
    const [own, configured] = [boundBy(args), boundBy(config.words)];
    const prepared = valuesIn(config.words).some((address) => address.startsWith("fd://"));
    const mercy = Number(
      lastValueOf(all, "--worker-reload-mercy") ?? lastValueOf(all, "--reload-mercy") ?? MERCY,
    );
    const pid = generationPidfile(lastValueOf(all, "--pidfile"), directory);
    const more = [...forStopping(all), ...ownFiles(all, pid.own)];
    const bound = [...configured, ...own];
    return {
      server: title,
      binds: [...new Set(bound.map((s) => specOf(s.address, directory)))],
      // The options of a config file add up with those of the words: what it binds it will bind.
      handover:
        configured.length > 0
          ? { by: "intercept" }
          : {
              by: "argv",
              takesExtra: () => !prepared,
              take: (sockets) =>
                take(
                  found,
                  prepared ? [] : sockets.map((_, i) => (own[i] ?? own[0])?.option ?? "--http-socket"),
                  more,
                ),
            },
      ready: bound.every((s) => s.protocol === "http") && !speaksOther(config) ? "http" : "connect",
      stop: {
        sequence: `HUP/${mercy + 30}s/KILL`,
        drain: `${mercy} s (--worker-reload-mercy), then it kills its workers`,
      },
      words: [...front, ...args, ...more],
      releasePaths: { directories: ["--chdir"], lists: PATHS },
      ...pid.traits,
      ...rightsOf(all),
      ...(config.unknown === undefined
        ? {}
        : { unknownBinds: `the binds of ${config.names.join(" and ")} are not known: ${config.unknown}` }),
      quirks: QUIRKS,
      notes: [...runnerNotes(found), ...pid.notes, ...notes(all), ...releaseNotes(config)],
      notesWhere: { unbound: unbound(config, prepared) },
    };
  },
};

const valuesIn = (words: readonly string[]): string[] =>
  BINDING.flatMap(([long, , short]) => valuesOf(words, long, short));

/** `=0` means a shared socket, and an address of TLS is followed by its certificates. */
const boundBy = (words: readonly string[]) =>
  BINDING.flatMap(([long, protocol, short]) =>
    valuesOf(words, long, short).map((value) => ({
      option: long,
      protocol,
      address: value.replace(/,.*$/, ""),
    })),
  ).filter(({ address }) => !address.startsWith("fd://") && !address.startsWith("="));

const speaksOther = ({ words }: UwsgiConfig): boolean =>
  BINDING.some(([long, protocol]) => protocol !== "http" && valuesOf(words, long).length > 0);

/** Where two copies would write: behind all else, so that they count. */
function ownFiles(all: readonly string[], pidfile: string | undefined): string[] {
  const stats = lastValueOf(all, "--stats");
  return [
    ...(pidfile === undefined ? [] : [`--pidfile=${pidfile}`]),
    ...(stats?.startsWith("/") && !isOwn(stats) ? [`--stats=${stats}.{gen}`] : []),
  ];
}

function specOf(address: string, directory: string): string {
  if (address.startsWith("@")) return `unix:${address}`;
  return /:\d+$/.test(address) ? address : unixSpec(address, directory);
}

/** `options`: by which of them each socket is taken; a socket more than it has itself speaks what its first one speaks. */
function take({ front, args }: Recognised, options: readonly string[], more: readonly string[]): Handed {
  const rest = without(args, ...BINDING.map(([long, , short]) => [long, short] as const));
  const ours = options.flatMap((option, i) => [option, `fd://${descriptorOf(i)}`]);
  return { words: [...front, ...rest, ...ours, ...more] };
}

/**
 * What the stop needs, with sockets or without: a reload that ends in an exit, and a master, without which no process would
 * wait for the request that is running.
 */
const forStopping = (args: readonly string[]): string[] =>
  ["--master", "--exit-on-reload", "--ignore-sigpipe"].filter((flag) => !hasFlag(args, flag));

function unbound({ names }: UwsgiConfig, prepared: boolean): string[] {
  const files = names.join(" and ");
  if (prepared) return [`${files} takes descriptors: give the address of each to --bind`];
  return names.length > 0
    ? [`no address was found in ${files}: if it binds one, give that to --bind, with --handover intercept`]
    : ["no address is known: give each address that it is to serve to --bind"];
}

/** What stands in a config file adds up with the words, and cannot be led anywhere by them. */
function releaseNotes({ words, names }: UwsgiConfig): string[] {
  const linked = ["--chdir", ...PATHS].flatMap((option) =>
    valuesOf(words, option)
      .filter(isLinked)
      .map((path) => `${option.slice(2)} ${path}`),
  );
  return linked.map(
    (setting) =>
      `${setting} in ${names.join(" and ")} leads through a symlink, and late workers follow it to the release to which it leads by then: write a relative path there, and give the directory to hupwatch with --chdir`,
  );
}

function isLinked(path: string): boolean {
  try {
    return path.startsWith("/") && realpathSync(path) !== path;
  } catch {
    return false; // uWSGI itself says it better
  }
}

function notes(all: readonly string[]): string[] {
  const told: string[] = [];
  if (lastValueOf(all, "--http") !== undefined)
    told.push(
      "--http is a separate router that takes no descriptor, and no second copy can bind its address: use --http-socket",
    );
  if (valuesOf(all, "--daemonize", "-d").length > 0 || hasFlag(all, "--daemonize", "-d"))
    told.push("--daemonize makes uWSGI leave hupwatch: drop it");
  const stats = lastValueOf(all, "--stats");
  if (stats?.startsWith("/") && !isOwn(stats))
    told.push(`two copies would fight over the stats socket ${stats}: each generation's is ${stats}.N`);
  else if (stats !== undefined && !stats.startsWith("/"))
    told.push(
      `two copies cannot both bind --stats ${stats}, and each swap would be rolled back: write a path, e.g. stats = /run/app/stats.sock`,
    );
  const fifo = lastValueOf(all, "--master-fifo");
  if (fifo !== undefined && !isOwn(fifo))
    told.push(
      `two copies fight over the fifo ${fifo}: leave --master-fifo out, or put {gen} into it on the command line`,
    );
  return told;
}

/** core/socket.c, core/uwsgi.c: a mode of its own beats the umask, an owner of its own the user that it becomes before it binds. */
function rightsOf(args: readonly string[]): Pick<ServerTraits, "sockets"> {
  const chmod = valueOrFlag(args, "--chmod-socket", "-C");
  const umask = lastValueOf(args, "--umask");
  const chown = lastValueOf(args, "--chown-socket")?.split(":");
  const [user, group] = chown ?? [lastValueOf(args, "--uid"), lastValueOf(args, "--gid")];
  const mode = chmod === "" ? 0o666 : chmod;
  return {
    sockets: {
      ...(mode !== undefined || umask !== undefined
        ? { mode: mode ?? 0o777 & ~Number.parseInt(umask as string, 8) }
        : {}),
      ...(user || group ? { owner: { user: user || undefined, group: group || undefined } } : {}),
    },
  };
}

/** An option whose value is optional, and so stands behind an equals sign or joined: in octal; "" where there is none. */
function valueOrFlag(args: readonly string[], long: string, short: string): number | "" | undefined {
  const found = args.findLast(
    (word) => word === long || word.startsWith(`${long}=`) || word.startsWith(short),
  );
  const digits = found?.replace(/^(--[^=]+=?|-.)/, "");
  return digits ? Number.parseInt(digits, 8) : (digits as "" | undefined);
}

const QUIRKS = [
  {
    what: "its SIGPIPE handler writes to stderr: if that is a pipe whose reader ended with hupwatch (supervisord), its workers write for ever and answer nothing, except with --ignore-sigpipe",
    link: "https://github.com/unbit/uwsgi/blob/uwsgi-2.0/core/utils.c",
  },
  {
    what: "TERM reloads and cuts requests, and with die-on-term ends it and cuts requests: HUP with --exit-on-reload cuts none",
    link: "https://uwsgi-docs.readthedocs.io/en/latest/Management.html",
  },
  {
    what: "--vacuum leaves the paths of inherited sockets alone (it compares inodes)",
    link: "https://github.com/unbit/uwsgi/blob/uwsgi-2.0/core/uwsgi.c",
  },
];
