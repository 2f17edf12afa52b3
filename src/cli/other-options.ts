/** Options of other tools (gunicorn, supervisord, systemd, docker), each with hupwatch's own. Loaded only when an option is refused. */
import type { OptionTable } from "./command.ts";

const CHDIR = "--chdir DIR";
const ENV = "--env-file FILE, or env NAME=VALUE in front of the command";
const STOP = "--stop-signal TERM/30s/KILL, which has signals and times";
const NO_FILE = "there is no configuration file: give options";
const FOREGROUND = "it stays in the foreground: let systemd or supervisord run it, or setsid";

/** By its name without dashes. An option that it begins with has to be one of the sub-command. */
const HERE: Record<string, string> = {
  pid: "--pidfile FILE",
  "pid-file": "--pidfile FILE",
  directory: CHDIR,
  "working-directory": CHDIR,
  workdir: CHDIR,
  cwd: CHDIR,
  e: ENV,
  env: ENV,
  environment: ENV,
  "graceful-timeout": STOP,
  "kill-signal": STOP,
  "stop-timeout": STOP,
  stopsignal: STOP,
  stopwaitsecs: STOP,
  restart: "--on-crash respawn",
  autorestart: "--on-crash respawn",
  timeout: "--ready-timeout DUR for a start, --stop-signal TERM/30s/KILL for an end",
  "log-level": "--verbose or --quiet",
  c: NO_FILE,
  config: NO_FILE,
  D: FOREGROUND,
  daemon: FOREGROUND,
  daemonize: FOREGROUND,
  V: "--version",
  format: "--json",
  output: "--json",
};

/** One sentence that names the option to use instead of `flag`; undefined if none is known, or this sub-command does not have it. */
export function insteadOf(flag: string, options: OptionTable): string | undefined {
  const name = flag.replace(/^--?/, "");
  const here = Object.hasOwn(HERE, name) ? HERE[name] : undefined;
  const [, option] = /^--([a-z-]+)/.exec(here ?? "") ?? [];
  if (option === undefined) return here && "bind" in options ? `${here}.` : undefined;
  return option in options ? `it is ${here} here.` : undefined;
}
