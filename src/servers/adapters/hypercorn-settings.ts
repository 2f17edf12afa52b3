/** What a config file of hypercorn binds: hypercorn's own code is run to read it, and starts no server. */

import { answerOf, MARK, type Unasked } from "../reading/asking.ts";
import { pythonOf } from "../reading/python-interpreter.ts";
import type { Recognised } from "../reading/recognise.ts";

export interface HypercornSettings {
  bind: string[];
  /** Addresses that hypercorn would bind besides; no descriptor takes their place. */
  others: string[];
  tls: boolean;
  /** Seconds. */
  gracefulTimeout: number;
  umask?: number;
  /** By number, as hypercorn wants them. */
  user?: number;
  group?: number;
  pidfile?: string;
}

/** As hypercorn/__main__.py _load_config does. A `python:` module is imported from where hypercorn starts. */
const PROGRAM = `
import json, sys
path = sys.path.pop(0) if sys.path[0] == "" else None
from hypercorn.__main__ import _load_config
if path is not None:
    sys.path.insert(0, path)
c = _load_config(sys.argv[1])
print()
print(${JSON.stringify(MARK)} + json.dumps({
    "bind": c.bind, "others": c.insecure_bind + c.quic_bind,
    "tls": c.certfile is not None, "gracefulTimeout": c.graceful_timeout,
    **{name: value for name, value in (
        ("umask", c.umask), ("user", c.user), ("group", c.group), ("pidfile", c.pid_path)
    ) if value is not None},
}))
`;

export function askHypercorn(found: Recognised, config: string): HypercornSettings | Unasked {
  const words = () => [...pythonOf(found), "-c", PROGRAM, config];
  return answerOf(found, words, "hypercorn was run to print its configuration");
}
