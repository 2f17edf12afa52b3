/** The servers that hupwatch knows, tried in this order: the first that recognises the command describes it. */
import type { CommandLine, ServerAdapter, ServerTraits } from "./adapter.ts";
import { caddy } from "./adapters/caddy.ts";
import { cheroot } from "./adapters/cheroot.ts";
import { daphne } from "./adapters/daphne.ts";
import { generic } from "./adapters/generic.ts";
import { granian } from "./adapters/granian.ts";
import { gunicorn } from "./adapters/gunicorn.ts";
import { haproxy } from "./adapters/haproxy.ts";
import { hypercorn } from "./adapters/hypercorn.ts";
import { bun, deno, node } from "./adapters/javascript.ts";
import { nginx } from "./adapters/nginx.ts";
import { phpFpm } from "./adapters/php-fpm.ts";
import { puma } from "./adapters/puma.ts";
import { rails } from "./adapters/rails.ts";
import { unicorn } from "./adapters/unicorn.ts";
import { uvicorn } from "./adapters/uvicorn.ts";
import { uwsgi } from "./adapters/uwsgi.ts";
import { waitress } from "./adapters/waitress.ts";

/**
 * Each of the first recognises one program by its name, so among themselves their order is only for the reader: Python,
 * Ruby, proxies. Runtimes come after the servers, since a server may be run by one; generic recognises everything, so it
 * stays the last.
 */
export const ADAPTERS: readonly ServerAdapter[] = [
  ...[gunicorn, uwsgi, uvicorn, hypercorn, daphne, granian, waitress, cheroot],
  ...[puma, unicorn, rails],
  ...[nginx, haproxy, caddy, phpFpm],
  ...[node, bun, deno],
  generic,
];

/** Throws HupwatchError where the command is wrong, or what it would do cannot be found out. */
export function traitsOf(command: CommandLine): ServerTraits {
  const [ran, unknown]: [string[], string[]] = [[], []];
  for (const adapter of ADAPTERS) {
    const traits = adapter.read({ ...command, ran, unknown });
    if (!traits) continue;
    const notes = [...traits.notes, ...unknown];
    return { ...traits, notes, ...(ran.length === 0 ? {} : { ran: ran.join("; ") }) };
  }
  throw new Error("the generic adapter recognises every command");
}
