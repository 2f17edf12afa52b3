/** What gunicorn itself makes of its config file, environment and words: asked of its own code, which starts no server. */
import { readFileSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import { locate } from "../os/spawn.ts";
import type { CommandLine } from "./adapter.ts";
import type { Program } from "./program.ts";

export interface GunicornSettings {
  bind: string[];
  umask: number;
  user: string | undefined;
  group: string | undefined;
  pidfile: string | undefined;
  chdir: string | undefined;
  tls: boolean;
  reusePort: boolean;
  daemon: boolean;
  reload: boolean;
  /** Seconds. */
  gracefulTimeout: number;
}

/** A config file may print what it likes: our line is the one behind this mark. */
const MARK = "hupwatch-settings:";

/** Application.__init__ reads the config as every start does (gunicorn/app/base.py); nothing is bound or loaded. */
const PROGRAM = `
import json
from gunicorn.app.wsgiapp import WSGIApplication
c = WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").cfg
s = {k: v.get() for k, v in c.settings.items()}
print()
print(${JSON.stringify(MARK)} + json.dumps({
    "bind": c.bind if isinstance(c.bind, list) else [c.bind],
    "umask": c.umask, "user": str(s["user"]), "group": str(s["group"]),
    "pidfile": s["pidfile"], "chdir": s["chdir"], "tls": bool(s["certfile"]),
    "reusePort": bool(s["reuse_port"]), "daemon": bool(s["daemon"]), "reload": bool(s["reload"]),
    "gracefulTimeout": s["graceful_timeout"],
}))
`;

const TIME_LIMIT_MS = 30_000;

/** Throws HupwatchError with gunicorn's own words where its configuration is wrong. */
export function askGunicorn(
  command: CommandLine,
  program: Program,
  args: readonly string[],
): GunicornSettings {
  const asked = Bun.spawnSync([...pythonOf(command, program), "-c", PROGRAM, ...args], {
    cwd: command.directory,
    env: { ...command.env, PWD: command.directory },
    stdin: "ignore",
    stderr: "pipe",
    timeout: TIME_LIMIT_MS,
  });
  const line = asked.stdout
    .toString()
    .split("\n")
    .findLast((l) => l.startsWith(MARK));
  if (line) return JSON.parse(line.slice(MARK.length));
  const said = asked.stderr.toString().trim().split("\n").slice(-5).join("\n");
  throw new HupwatchError("gunicorn.config", `gunicorn cannot read its configuration:\n${said}`, {
    exitCode: asked.exitCode > 0 ? asked.exitCode : 125,
    hint: "correct it; 'gunicorn --check-config' with the same words shows the same error",
  });
}

/** The interpreter that the gunicorn script names in its first line. */
function pythonOf(command: CommandLine, program: Program): string[] {
  if (program.interpreter) return [program.interpreter];
  const word = command.words[program.argsFrom - 1] ?? "gunicorn";
  const script = locate({ argv: [word], env: { ...command.env }, cwd: command.directory });
  const head = readFileSync(script, "latin1").slice(0, 400).split("\n");
  // pip writes `#!/bin/sh` and `'''exec' "/path/python" "$0"` where the interpreter's path is too long for a shebang.
  const exec = /^'''exec' "?([^" ]+)"?/.exec(head[1] ?? "");
  if (exec?.[1]) return [exec[1]];
  const shebang = /^#!\s*(\S+)(?:\s+(.*\S))?/.exec(head[0] ?? "");
  if (!shebang?.[1]) return ["python3"];
  return shebang[1].endsWith("/env")
    ? (shebang[2] ?? "python3").replace(/^-S\s*/, "").split(/\s+/)
    : [shebang[1]];
}
