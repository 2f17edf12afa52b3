/**
 * gunicorn. Handover is LISTEN_FDS: only then does it leave Unix paths alone at its exit, while an inherited `fd://`
 * or its own `unix:` is unlinked from under the next copy (arbiter.py stop(), `unlink = ... not self.systemd`). With
 * LISTEN_FDS it ignores its own binds (sock.py create_sockets), so the words stay as they are.
 */
import { existsSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { which } from "../../os/lookup.ts";
import type { CommandLine, ServerAdapter, ServerTraits } from "../adapter.ts";
import { hasFlag, lastValueOf, valuesOf, withMore, without } from "../reading/options.ts";
import type { Program } from "../reading/program.ts";
import { type Recognised, recognise } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import { type Spelling, spelledOut } from "../reading/spelling.ts";
import { askGunicorn, type GunicornSettings } from "./gunicorn-settings.ts";

/** argparse; every option that is read here (gunicorn/config.py). */
const SPELLING: Spelling = {
  longs: [
    ...[
      "--bind",
      "--config",
      "--umask",
      "--user",
      "--group",
      "--pid",
      "--chdir",
      "--pythonpath",
      "--certfile",
      "--reuse-port",
    ],
    ...["--daemon", "--reload", "--graceful-timeout", "--control-socket", "--no-control-socket"],
  ],
  flags: "DRhv",
  dropsEquals: "bcmugp",
};

export const gunicorn: ServerAdapter = {
  name: "gunicorn",
  shown: [
    {
      server: "gunicorn",
      takes: "LISTEN_FDS; its pid file and control socket get the generation's number",
      stopped: "TERM",
    },
  ],
  read(command) {
    const found = recognise(command, "gunicorn", /^gunicorn3?$/, SPELLING);
    if (!found) return undefined;
    const { program, args } = found;
    const told = needsAsking(found, args) ? askGunicorn(found) : undefined;
    const settings = told ? logically(found.directory, told) : fromWords(found, program, args);
    return traits(found, program, settings);
  },
};

/** A config file is Python, and quoted words are shlex's business: then gunicorn itself says what it would do. */
function needsAsking({ env, directory }: CommandLine, args: readonly string[]): boolean {
  const fromEnv = env.GUNICORN_CMD_ARGS ?? "";
  if (/["'\\]/.test(fromEnv)) return true;
  const all = [...spelledOut(fromEnv.split(/\s+/), SPELLING), ...args];
  return lastValueOf(all, "--config", "-c") !== undefined || existsSync(join(directory, "gunicorn.conf.py"));
}

/**
 * A config file that says os.getcwd() names the release that `current` leads to now, which is deleted some day: such a path is
 * written through the link, and followed anew by every generation.
 */
function logically(directory: string, settings: GunicornSettings): GunicornSettings {
  const physical = physicalOf(directory);
  const through = (path: string) =>
    path.startsWith(`${physical}/`) ? `${directory}${path.slice(physical.length)}` : path;
  const { bind, pidfile, controlSocket } = settings;
  return {
    ...settings,
    bind: bind.map((b) => b.replace(/^(unix:(?:\/\/)?)(\/.*)$/, (_, unix, path) => unix + through(path))),
    pidfile: pidfile && through(pidfile),
    controlSocket: typeof controlSocket === "object" ? { path: through(controlSocket.path) } : controlSocket,
  };
}

function physicalOf(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return directory; // the start itself says it better
  }
}

/** The words beat GUNICORN_CMD_ARGS, both beat the defaults (docs: settings, "configuration overview"). */
function fromWords(command: CommandLine, program: Program, args: readonly string[]): GunicornSettings {
  const { env } = command;
  const envArgs = spelledOut((env.GUNICORN_CMD_ARGS ?? "").split(/\s+/).filter(Boolean), SPELLING);
  const last = (long: string, short?: string) =>
    lastValueOf(args, long, short) ?? lastValueOf(envArgs, long, short);
  const flag = (long: string, short?: string) => hasFlag([...envArgs, ...args], long, short);
  const lists = [valuesOf(args, "--bind", "-b"), valuesOf(envArgs, "--bind", "-b")];
  const binds = lists.find((list) => list.length > 0) ?? [
    env.PORT ? `0.0.0.0:${env.PORT}` : "127.0.0.1:8000",
  ];
  return {
    bind: binds.flatMap((b) => b.split(",")).map((b) => b.trim()),
    umask: autoInt(last("--umask", "-m") ?? "0"),
    user: last("--user", "-u"),
    group: last("--group", "-g"),
    pidfile: last("--pid", "-p"),
    chdir: last("--chdir"),
    pythonpath: last("--pythonpath"),
    tls: last("--certfile") !== undefined,
    reusePort: flag("--reuse-port"),
    daemon: flag("--daemon", "-D"),
    reload: flag("--reload"),
    gracefulTimeout: Number(last("--graceful-timeout") ?? 30),
    controlSocket: flag("--no-control-socket")
      ? undefined
      : controlSocketOf(last("--control-socket"), command, program),
  };
}

/** gunicorn/config.py auto_int: as in Python, but 022 is octal. */
const autoInt = (text: string): number => (/^0\d/.test(text) ? Number.parseInt(text, 8) : Number(text));

function traits(command: Recognised, program: Program, settings: GunicornSettings): ServerTraits {
  const base = settings.chdir ? resolve(command.directory, settings.chdir) : command.directory;
  const { user, group } = settings;
  const pidfile = settings.pidfile && !isOwn(settings.pidfile) ? resolve(base, settings.pidfile) : undefined;
  return {
    server: command.title,
    binds: settings.bind.map((b) => asSpec(b, base)),
    handover: { by: "systemd", takesExtra: () => true },
    // Its READY=1 and "Booting worker" both come before the app is imported: only an answer is proof. A TLS port
    // answers no plain HTTP.
    ready: settings.tls ? "connect" : "http",
    // Its own limit comes first, so that it is gunicorn that ends its workers, and not we.
    stop: {
      sequence: `TERM/${settings.gracefulTimeout + 30}s/KILL`,
      drain: `${settings.gracefulTimeout} s (--graceful-timeout), then it kills its workers`,
    },
    words: ownWords(command, program, settings),
    releasePaths: { directories: ["--chdir"], lists: ["--pythonpath"] },
    configFiles: ["gunicorn.conf.py"],
    // UnixSocket.bind: the mode comes from gunicorn's own umask (default 0), the owner from its user and group.
    sockets: {
      mode: 0o777 & ~settings.umask,
      ...(user === undefined && group === undefined ? {} : { owner: { user, group } }),
    },
    ...(pidfile ? { pidfile: { path: pidfile, ofGeneration: `${pidfile}.{gen}` } } : {}),
    quirks: settings.controlSocket === "default" ? [...QUIRKS, NO_CONTROL_SOCKET] : QUIRKS,
    notes: [...runnerNotes(command), ...notes(settings, pidfile)],
  };
}

/** `gunicornc` came with the control socket, and stands beside `gunicorn` or the interpreter. */
function controlSocketOf(
  path: string | undefined,
  { words, env, directory }: CommandLine,
  { interpreter, argsFrom }: Program,
): GunicornSettings["controlSocket"] {
  if (path !== undefined) return { path };
  const word = interpreter ?? words[argsFrom - 1] ?? "";
  const found = word.includes("/") ? resolve(directory, word) : which(word, env.PATH ?? "");
  return found && existsSync(join(dirname(found), "gunicornc")) ? "default" : undefined;
}

/** The words, with a name of its own for everything that two copies would fight over. */
function ownWords(command: Recognised, program: Program, settings: GunicornSettings): readonly string[] {
  const { pidfile, controlSocket, reusePort } = settings;
  let { args } = command;
  if (reusePort) args = args.filter((word) => word !== "--reuse-port");
  const more: string[] = [];
  if (pidfile && !isOwn(pidfile)) {
    args = without(args, ["--pid", "-p"]);
    more.push(`--pid=${pidfile}.{gen}`);
  }
  more.push(...releaseWords(command, settings));
  if (controlSocket === "default") more.push("--no-control-socket");
  else if (controlSocket && !isOwn(controlSocket.path))
    more.push(`--control-socket=${controlSocket.path}.{gen}`);
  if (more.length === 0 && !reusePort) return command.words;
  // The last one counts, and words beat the config file and GUNICORN_CMD_ARGS.
  return [...command.words.slice(0, program.argsFrom), ...withMore(args, more)];
}

/**
 * What the config file or GUNICORN_CMD_ARGS says of a directory that a symlink leads to: gunicorn puts it into sys.path as it is written
 * (app/base.py), and a late worker would follow it to another release. As a word it can be led there for each generation.
 */
function releaseWords({ args, directory }: Recognised, { chdir, pythonpath }: GunicornSettings): string[] {
  const isLinked = (path: string) =>
    physicalOf(resolve(directory, path)) !== resolve(physicalOf(directory), path);
  const wanted = [
    ["--chdir", chdir, chdir ?? ""],
    ["--pythonpath", pythonpath, ...(pythonpath ?? "").split(",")],
  ] as const;
  return wanted.flatMap(([option, value, ...paths]) =>
    value && lastValueOf(args, option) === undefined && paths.some(isLinked) ? [`${option}=${value}`] : [],
  );
}

/** util.parse_address: a bare host has port 8000, a relative Unix path is taken from --chdir. */
function asSpec(bind: string, base: string): string {
  const unix = /^unix:(?:\/\/)?(.*)$/.exec(bind);
  if (unix) return `unix:${resolve(base, unix[1] ?? "")}`;
  if (bind.startsWith("fd://")) return bind;
  const tcp = bind.replace(/^tcp:\/\//, "");
  if (tcp === "") return "0.0.0.0:8000";
  return /^(\[[^\]]*\]|[^:]*)$/.test(tcp) ? `${tcp}:8000` : tcp;
}

/** The user has given each generation a name of its own. */
const isOwn = (path: string) => path.includes("{gen}");

function notes(s: GunicornSettings, pidfile: string | undefined): string[] {
  const told: string[] = [];
  if (s.daemon)
    told.push("--daemon makes gunicorn leave hupwatch: leave it out, and let a supervisor start hupwatch");
  if (pidfile)
    told.push(
      `two copies would fight over the pid file ${pidfile} ("Already running"): each generation's is ${pidfile}.N, and ${pidfile} has hupwatch's own pid (unless --pidfile names another file), so that HUP, USR1 and QUIT reach hupwatch`,
    );
  if (pidfile && existsSync(`${pidfile}.oldbin`))
    told.push(
      `${pidfile}.oldbin is left from an upgrade without hupwatch: a pre_fork hook that signals its pid would reach the process that has that pid now; remove the file`,
    );
  if (s.reusePort)
    told.push("--reuse-port is left out: with it gunicorn ignores the sockets that it is passed");
  if (s.reload) told.push("--reload restarts workers on file changes without hupwatch: for development only");
  return told;
}

const NO_CONTROL_SOCKET = {
  what: "two copies unlink each other's control socket: it is turned off, or gets the generation's number if --control-socket names one",
  link: "https://docs.gunicorn.org/en/stable/settings.html#control-socket",
};

const QUIRKS = [
  {
    what: "USR2 is not a deploy: gunicorn's second master does not find the sockets that the first was passed, and ends; the first serves on",
    link: "https://github.com/benoitc/gunicorn/blob/master/gunicorn/sock.py",
  },
  {
    what: "a worker that is not set up yet (one swap follows another at once) misses the TERM and is killed after --graceful-timeout: the old generation ends later, and no client notices",
    link: "https://github.com/benoitc/gunicorn/blob/master/gunicorn/workers/base.py",
  },
  {
    what: "at TERM gthread of 21.0 to 23.0 drops connections that it has accepted and not read: the warm-up covers them",
    link: "https://github.com/benoitc/gunicorn/issues/3038",
  },
  {
    what: "gthread from 24.0 on and the asgi worker wait the whole graceful timeout for one idle kept connection",
    link: "https://docs.gunicorn.org/en/stable/settings.html#graceful-timeout",
  },
];
