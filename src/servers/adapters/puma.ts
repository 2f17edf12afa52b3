/**
 * puma takes LISTEN_FDS, but closes and unlinks every socket that matches none of its binds (binder.rb
 * close_unused_activated_sockets). A Unix socket of a generation has a path of its own and so never matches:
 * --bind-to-activated-sockets=only makes the binds from what was handed over, and forgets those of config/puma.rb.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ServerAdapter, SocketRights } from "../adapter.ts";
import { firstAddress, loopbackAddresses } from "../reading/addresses.ts";
import { configText } from "../reading/config-text.ts";
import { generationPidfile, isOwn } from "../reading/generation-files.ts";
import { hasFlag, lastValueOf, valuesOf, withMore, without } from "../reading/options.ts";
import { type Recognised, recognise, unixSpec } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import type { Spelling } from "../reading/spelling.ts";
import { askPuma, type PumaSettings } from "./puma-settings.ts";

/** optparse (puma/cli.rb). */
const SPELLING: Spelling = {
  longs: [
    ...["--bind", "--port", "--pidfile", "--state", "--control-url", "--control-token"],
    ...["--no-config", "--config", "--environment"],
  ],
  flags: "qv",
};

export const puma: ServerAdapter = {
  name: "puma",
  shown: [{ server: "puma", takes: "LISTEN_FDS with `--bind-to-activated-sockets=only`", stopped: "TERM" }],
  read(command) {
    const found = recognise(command, "puma", /^puma$/, SPELLING);
    if (!found) return undefined;
    const { front, title } = found;
    const { binds, unknown, settings, unasked } = bindsOf(found);
    const own = ownFiles(found, settings);
    const { args } = own;
    return {
      server: title,
      binds: binds.flatMap((bind) => specsOf(bind, found.directory)),
      handover: {
        by: "systemd",
        takesExtra: () => true,
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
      },
      ready: binds.some((b) => b.startsWith("ssl:")) ? "connect" : "http",
      stop: { sequence: "TERM/60s/KILL", drain: "for ever (force_shutdown_after), so hupwatch's 60 s" },
      words: [...front, ...args],
      ...own.traits,
      sockets: {
        of: Object.fromEntries(
          binds.flatMap((bind) => specsOf(bind, found.directory).map((spec) => [spec, rightsOf(bind)])),
        ),
      },
      ...(unknown === undefined ? {} : { unknownBinds: unknown }),
      configFiles: configFilesOf(found),
      quirks: QUIRKS,
      notes: [
        ...runnerNotes(found),
        ...own.notes,
        ...(unasked === undefined
          ? []
          : [`it is not known whether two copies would fight over a pid file or a control app: ${unasked}`]),
      ],
    };
  },
};

interface Binds {
  binds: string[];
  /** Why they are not known: the file has addresses that only Ruby can tell, and did not. */
  unknown?: string;
  /** What was asked of puma; why it could not be asked. */
  settings?: PumaSettings | undefined;
  unasked?: string | undefined;
}

/** The words beat the config file (Puma::Configuration's layers); without either it is 0.0.0.0:9292. */
function bindsOf(found: Recognised): Binds {
  const { args, env } = found;
  const words = [
    ...valuesOf(args, "--bind", "-b"),
    ...valuesOf(args, "--port", "-p").map((port) => `tcp://0.0.0.0:${port}`),
  ];
  const config = configOf(found);
  const known = (binds: string[]): Binds => ({ binds: binds.length > 0 ? binds : ["tcp://0.0.0.0:9292"] });
  if (config === undefined) return known(words);
  const text = configText(config);
  if (text === undefined)
    return words.length > 0 ? known(words) : { binds: [], unknown: `${config} cannot be read` };
  const lines = text.match(/^\s*(bind|port|ssl_bind)\b.*$/gm) ?? [];
  const literals = lines.map((line) => literal(line.trim(), env)).filter((bind) => bind !== undefined);
  const isLiteral = words.length > 0 || literals.length === lines.length;
  const told = isLiteral && !OWN_FILES.test(text) ? undefined : askPuma(found, config);
  const settings = told && "unasked" in told ? undefined : told;
  const unasked = told && "unasked" in told ? told.unasked : undefined;
  if (words.length > 0) return { ...known(words), settings, unasked };
  if (isLiteral) return { ...known(literals), settings, unasked };
  if (settings) return { ...known(settings.binds), settings };
  return {
    binds: [],
    unknown: `${config} computes its addresses, and puma could not be run to print them: ${unasked}`,
  };
}

/** Lines of a config file by which two copies would fight. */
const OWN_FILES = /^\s*(pidfile|state_path|activate_control_app|load)\b/m;

/** Words beat the config file: a pid file, a state file and a control socket of each generation's own. */
function ownFiles(found: Recognised, settings: PumaSettings | undefined) {
  const { args, directory } = found;
  const pid = generationPidfile(lastValueOf(args, "--pidfile") ?? settings?.pidfile, directory);
  const given = lastValueOf(args, "--state", "-S");
  const state = given ?? settings?.state;
  const isChosen = given === undefined && settings?.numbersItself && isNumbered(settings.state);
  const url = lastValueOf(args, "--control-url") ?? settings?.control?.url;
  const { more, notes } = ownControl(url, hasFlag(args, "--control-url") ? undefined : settings?.control);
  const others = without(
    args,
    ...(pid.own === undefined ? [] : [["--pidfile"] as const]),
    ...(more.length === 0 ? [] : [["--control-url"] as const]),
  );
  const words = [...more, ...(pid.own === undefined ? [] : ["--pidfile", pid.own])];
  if (state !== undefined && !isOwn(state) && !isChosen) {
    words.push("--state", `${state}.{gen}`);
    notes.push(
      `two copies would fight over the state file ${state}: each generation's is ${state}.N, for pumactl -S`,
    );
  }
  return { args: withMore(others, words), traits: pid.traits, notes: [...pid.notes, ...notes] };
}

/** It was asked for the generation 0. Any path may have a 0, so this says nothing of a file that does not know the number. */
const isNumbered = (path = ""): boolean => /(^|[^0-9])0([^0-9]|$)/.test(path);

/** `control` is that of the config file. A socket of its own for each; a token that a file names is not put into words, which every user can read. */
function ownControl(
  url: string | undefined,
  control: PumaSettings["control"],
): { more: string[]; notes: string[] } {
  if (url === undefined || url === "auto" || isOwn(url)) return { more: [], notes: [] };
  const path = /^unix:\/\/([^?]*)/.exec(url)?.[1];
  if (path === undefined || control?.token === "named")
    return {
      more: [],
      notes: [
        `two copies cannot both bind the control app ${url}, and each swap would be rolled back: write activate_control_app "unix:///path/pumactl.#{ENV["HUPWATCH_GENERATION"]}.sock"`,
      ],
    };
  const own = `unix://${path}.{gen}`;
  return {
    more: ["--control-url", own, ...(control?.token === "none" ? ["--control-token", "none"] : [])],
    notes: [`two copies would fight over the control socket ${path}: each generation's is ${path}.N`],
  };
}

const configOf = (found: Recognised): string | undefined =>
  configFilesOf(found)
    .map((path) => resolve(found.directory, path))
    .find((path) => existsSync(path));

/** Those that it looks for: the first one there is. */
function configFilesOf({ args, env }: Recognised): string[] {
  if (hasFlag(args, "--no-config")) return [];
  const given = lastValueOf(args, "--config", "-C");
  if (given === "-") return [];
  const name = lastValueOf(args, "--environment", "-e") ?? env.RACK_ENV ?? env.RAILS_ENV ?? "development";
  return given === undefined ? [`config/puma/${name}.rb`, "config/puma.rb"] : [given];
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

/** binder.rb add_unix_listener: umask 0 unless told, and a mode comes after it; the mode is octal, the umask only with a 0 before it. */
function rightsOf(uri: string): SocketRights {
  const parameters = new URLSearchParams(/\?(.*)$/.exec(uri)?.[1] ?? "");
  const [umask, mode] = [parameters.get("umask") ?? "0", parameters.get("mode")];
  if (mode) return { mode: Number.parseInt(mode, 8) & 0o777 };
  return { mode: 0o777 & ~(umask.startsWith("0") ? Number.parseInt(umask, 8) : Number(umask)) };
}

const QUIRKS = [
  {
    what: "it ends by its stop signal (raise_exception_on_sigterm): exit -15 is success",
    link: "https://github.com/puma/puma/blob/master/docs/signals.md",
  },
  {
    what: "it closes sockets that match no bind and unlinks their paths, hence --bind-to-activated-sockets",
    link: "https://github.com/puma/puma/blob/master/docs/systemd.md",
  },
];
