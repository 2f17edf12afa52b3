/** gunicorn's settings from its config file, environment and command line: its own code is run to read them, and starts no server. */
import { HupwatchError } from "../../error.ts";
import { ask, MARK } from "../reading/asking.ts";
import { pythonOf } from "../reading/python-interpreter.ts";
import type { Recognised } from "../reading/recognise.ts";
import { isUnknown } from "../reading/running.ts";

export interface GunicornSettings {
  bind: string[];
  umask: number;
  user: string | undefined;
  group: string | undefined;
  pidfile: string | undefined;
  /** Of 25.1 and later: a path that was asked for, or the one that it makes unasked; undefined where there is none. */
  controlSocket: { path: string } | "default" | undefined;
  chdir: string | undefined;
  pythonpath: string | undefined;
  tls: boolean;
  reusePort: boolean;
  daemon: boolean;
  reload: boolean;
  /** Seconds. */
  gracefulTimeout: number;
}

/** Application.__init__ reads the config as every start does (gunicorn/app/base.py); nothing is bound or loaded. */
const PROGRAM = `
import json, sys
# A script has its own directory first and not the one it is started in, where a gunicorn.py would hide the package.
if sys.path[0] == "":
    del sys.path[0]
from gunicorn.app.wsgiapp import WSGIApplication
c = WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").cfg
s = {k: v.get() for k, v in c.settings.items()}
ctl = c.settings.get("control_socket")
print()
print(${JSON.stringify(MARK)} + json.dumps({
    "bind": c.bind if isinstance(c.bind, list) else [c.bind],
    "umask": c.umask, "user": str(s["user"]), "group": str(s["group"]),
    "pidfile": s["pidfile"], "chdir": s["chdir"], "pythonpath": s["pythonpath"], "tls": bool(s["certfile"]),
    "reusePort": bool(s["reuse_port"]), "daemon": bool(s["daemon"]), "reload": bool(s["reload"]),
    "gracefulTimeout": s["graceful_timeout"],
    "controlSocket": None if ctl is None or s["control_socket_disable"]
        else "default" if ctl.get() == ctl.default else {"path": ctl.get()},
}))
`;

/** Undefined where a look cannot find out. Throws HupwatchError with gunicorn's own words where its configuration is wrong. */
export function askGunicorn(found: Recognised): GunicornSettings | undefined {
  const what = "gunicorn's configuration";
  if (found.look === "blind" && isUnknown(found, what, "it was not run")) return undefined;
  const words = [...pythonOf(found), "-c", PROGRAM, ...found.args];
  const answer = ask(found, words, "gunicorn was run to print its configuration");
  if (answer.json !== undefined) return withoutNulls(JSON.parse(answer.json));
  if (isUnknown(found, what, answer.why)) return undefined;
  throw new HupwatchError("gunicorn.config", `gunicorn cannot read its configuration:\n${answer.why}`, {
    exitCode: answer.exitCode > 0 ? answer.exitCode : 125,
    hint: "correct it; 'gunicorn --check-config' with the same arguments shows the same error",
  });
}

/** JSON has no undefined. */
const withoutNulls = (settings: Record<string, unknown>): GunicornSettings =>
  Object.fromEntries(
    Object.entries(settings).map(([k, v]) => [k, v ?? undefined]),
  ) as unknown as GunicornSettings;
