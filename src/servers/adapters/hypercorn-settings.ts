/** What a config file of hypercorn binds: asked of hypercorn's own code, which starts no server. */

import { ask, MARK } from "../reading/asking.ts";
import { pythonOf } from "../reading/python-interpreter.ts";
import type { Recognised } from "../reading/recognise.ts";

export interface HypercornSettings {
  bind: string[];
  /** Addresses that hypercorn would bind besides; no descriptor takes their place. */
  others: string[];
  tls: boolean;
  /** Seconds. */
  gracefulTimeout: number;
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
}))
`;

/** Undefined where hypercorn cannot be asked; what is wrong with the file its own start says best. */
export function askHypercorn(found: Recognised, config: string): HypercornSettings | undefined {
  try {
    const { json } = ask([...pythonOf(found, found.program), "-c", PROGRAM, config], found);
    return json === undefined ? undefined : (JSON.parse(json) as HypercornSettings);
  } catch {
    return undefined; // neither it nor its interpreter is there
  }
}
