/**
 * uWSGI takes descriptors as addresses, `--http-socket fd://N` and `--socket fd://N`; by LISTEN_FDS they would all speak
 * the uwsgi protocol. TERM reloads it brutally and never ends it (master.c), die-on-term cuts what is running: the way
 * out that waits for its workers is a reload that ends in an exit, HUP with --exit-on-reload (master_utils.c).
 */
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { descriptorOf } from "../../sockets/handover.ts";
import type { Handed, ServerAdapter } from "../adapter.ts";
import { hasFlag, lastValueOf, valuesOf, without } from "../reading/options.ts";
import { type Recognised, recognise, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";

/** Options that bind, and what their sockets speak. `--http` is a router process of its own, killed at every reload. */
const BINDING: readonly (readonly [long: string, protocol: "http" | "uwsgi", short?: string])[] = [
  ["--http-socket", "http"],
  ["--socket", "uwsgi", "-s"],
  ["--uwsgi-socket", "uwsgi"],
];
/** Seconds; --worker-reload-mercy. */
const MERCY = 60;

/** getopt_long(3) (uwsgi's core/uwsgi.c). */
const SPELLING: Spelling = {
  longs: [
    ...[
      "--http-socket",
      "--socket",
      "--uwsgi-socket",
      "--chmod-socket",
      "--worker-reload-mercy",
      "--reload-mercy",
    ],
    ...["--master", "--exit-on-reload", "--ignore-sigpipe", "--http", "--daemonize", "--pidfile", "--stats"],
  ],
};

export const uwsgi: ServerAdapter = {
  name: "uwsgi",
  shown: [
    {
      server: "uWSGI",
      takes: "`--http-socket fd://N` or `--socket fd://N` in place of its own",
      stopped: "HUP with `--exit-on-reload`: TERM is brutal",
    },
  ],
  read(command) {
    const found = recognise(command, "uWSGI", /^uwsgi(-core|_python3?)?$/, SPELLING);
    if (!found) return undefined;
    const { args, title } = found;
    const own = BINDING.flatMap(([long, protocol, short]) =>
      valuesOf(args, long, short).map((address) => ({ option: long, protocol, address })),
    ).filter((s) => !s.address.startsWith("fd://"));
    const mercy = Number(
      lastValueOf(args, "--worker-reload-mercy") ?? lastValueOf(args, "--reload-mercy") ?? MERCY,
    );
    const mode = lastValueOf(args, "--chmod-socket", "-C");
    const configs = configFiles(found);
    const prepared = configs.some((c) => c.bound.some((b) => b.startsWith("fd://")));
    return {
      server: title,
      binds: own.map((s) => specOf(s.address, found.directory)),
      handover: "argv",
      takesExtraListener: () => !prepared,
      ready:
        own.every((s) => s.protocol === "http") && !configs.some((c) => c.speaksUwsgi) ? "http" : "connect",
      stop: `HUP/${mercy + 30}s/KILL`,
      drain: `${mercy} s (--worker-reload-mercy), then it kills its workers`,
      words: [...found.words, ...forStopping(args)],
      take: (sockets) =>
        take(found, prepared ? [] : sockets.map((_, i) => (own[i] ?? own[0])?.option ?? "--http-socket")),
      ...(mode && /^[0-7]{3}$/.test(mode) ? { socketMode: Number.parseInt(mode, 8) } : {}),
      quirks: QUIRKS,
      notes: notes(found, configs),
      notesUnbound: unbound(configs, prepared),
    };
  },
};

function specOf(address: string, directory: string): string {
  if (address.startsWith("@")) return `unix:${address}`;
  return /:\d+$/.test(address) ? address : unixSpec(address, directory);
}

/** `options`: by which of them each socket is taken; a socket more than it has itself speaks what its first one speaks. */
function take({ front, args }: Recognised, options: readonly string[]): Handed {
  const rest = without(args, ...BINDING.map(([long, , short]) => [long, short] as const));
  const ours = options.flatMap((option, i) => [option, `fd://${descriptorOf(i)}`]);
  return { words: [...front, ...rest, ...ours, ...forStopping(rest)] };
}

/**
 * What the stop needs, with sockets or without: a reload that ends in an exit, and a master, without which there is nobody who
 * would wait for the request that is running.
 */
const forStopping = (args: readonly string[]): string[] =>
  ["--master", "--exit-on-reload", "--ignore-sigpipe"].filter((flag) => !hasFlag(args, flag));

interface ConfigFile {
  name: string;
  bound: string[];
  speaksUwsgi: boolean;
  /** `http`, which is a process of its own. */
  hasRouter: boolean;
}

/** The options of a config file add up with those of the words, so what it binds it will bind: that can only be told. */
function configFiles({ args, directory }: Recognised): ConfigFile[] {
  const bare = args.filter((word) => /^[^-].*\.(ini|ya?ml|xml|json|js)(:\w+)?$/.test(word));
  const names = [...CONFIG_OPTIONS.flatMap(([long, short]) => valuesOf(args, long, short)), ...bare];
  return [...new Set(names.map((name) => name.replace(/:\w*$/, "")))].flatMap((name) => {
    try {
      const all = [...readFileSync(resolve(directory, name), "utf8").matchAll(BINDING_LINE)];
      const lines = all.filter((m) => m[1] !== "http");
      return [
        {
          name: basename(name),
          bound: lines.map((m) => m[2] ?? ""),
          speaksUwsgi: lines.some((m) => m[1] !== "http-socket"),
          hasRouter: lines.length < all.length,
        },
      ];
    } catch {
      return []; // uWSGI itself says it better
    }
  });
}

const CONFIG_OPTIONS = [
  ["--ini"],
  ["--yaml", "-y"],
  ["--yml"],
  ["--xml", "-x"],
  ["--xmlconfig"],
  ["--json", "-j"],
  ["--js"],
] as const;
/** `socket = :80`, `socket: :80`, `<socket>:80</socket>`, `"socket": ":80"`; what is commented out does not count. */
const BINDING_LINE =
  /(?:^[ \t]*|[{,<]\s*)["<]?(http-socket|uwsgi-socket|socket|http)"?\s*[=:>]\s*["']?([^\s"'<,}]+)/gm;

function unbound(configs: readonly ConfigFile[], prepared: boolean): string[] {
  const names = configs.map((c) => c.name).join(" and ");
  if (prepared) return [`${names} takes descriptors: give the address of each to --bind`];
  if (configs.some((c) => c.bound.length > 0)) return []; // each is told by itself
  // An address may stand in a file that the file includes.
  return configs.length > 0
    ? [
        `no address was found in ${names}: if it binds one, write fd://3 in its place (the next one fd://4) and give it to --bind`,
      ]
    : ["no address is known: give each that it is to serve to --bind"];
}

function notes(found: Recognised, configs: readonly ConfigFile[]): string[] {
  const { args } = found;
  const told = runnerNotes(found);
  for (const { name, bound } of configs)
    for (const address of bound.filter((b) => !b.startsWith("fd://")))
      told.push(
        `${name} binds ${address} by itself, which no second copy can: write fd://3 there (the next one fd://4) and give ${address} to --bind`,
      );
  if (lastValueOf(args, "--http") !== undefined || configs.some((c) => c.hasRouter))
    told.push(
      "--http is a router of its own that takes no descriptor, and no second copy can bind its address: use --http-socket",
    );
  if (hasFlag(args, "--daemonize", "-d")) told.push("--daemonize makes uWSGI leave hupwatch: drop it");
  if (lastValueOf(args, "--pidfile") !== undefined)
    told.push("every copy writes the same --pidfile: leave it out and use hupwatch's --pidfile");
  if (lastValueOf(args, "--stats")?.startsWith("/"))
    told.push("two copies fight over the --stats socket: put {gen} into its path");
  return told;
}

const QUIRKS = [
  {
    what: "its SIGPIPE handler writes to stderr: where that is a pipe whose reader has gone with hupwatch (supervisord), its workers write for ever and answer nothing, unless told --ignore-sigpipe",
    link: "https://github.com/unbit/uwsgi/blob/uwsgi-2.0/core/utils.c",
  },
  {
    what: "TERM is a brutal reload, and with die-on-term an end in the middle of requests: HUP with --exit-on-reload is neither",
    link: "https://uwsgi-docs.readthedocs.io/en/latest/Management.html",
  },
  {
    what: "--vacuum leaves the paths of inherited sockets alone (it compares inodes)",
    link: "https://github.com/unbit/uwsgi/blob/uwsgi-2.0/core/uwsgi.c",
  },
];
