/** The servers hupwatch knows, asked in this order: the first that recognises the command has it. */
import type { CommandLine, ServerAdapter, ServerTraits } from "./adapter.ts";
import { caddy } from "./caddy.ts";
import { cheroot } from "./cheroot.ts";
import { daphne } from "./daphne.ts";
import { generic } from "./generic.ts";
import { granian } from "./granian.ts";
import { gunicorn } from "./gunicorn.ts";
import { haproxy } from "./haproxy.ts";
import { hypercorn } from "./hypercorn.ts";
import { bun, deno, node } from "./javascript.ts";
import { nginx } from "./nginx.ts";
import { phpFpm } from "./php-fpm.ts";
import { puma } from "./puma.ts";
import { unicorn } from "./unicorn.ts";
import { uvicorn } from "./uvicorn.ts";
import { uwsgi } from "./uwsgi.ts";
import { waitress } from "./waitress.ts";

/**
 * Each of the first recognises one program by its name, so among themselves their order is only for the reader: Python,
 * Ruby, proxies. Runtimes come after the servers, since a server may be run by one; generic recognises everything, so it
 * stays the last.
 */
export const ADAPTERS: readonly ServerAdapter[] = [
  ...[gunicorn, uwsgi, uvicorn, hypercorn, daphne, granian, waitress, cheroot],
  ...[puma, unicorn],
  ...[nginx, haproxy, caddy, phpFpm],
  ...[node, bun, deno],
  generic,
];

export function traitsOf(command: CommandLine): ServerTraits {
  for (const adapter of ADAPTERS) {
    const traits = adapter.read(command);
    if (traits) return traits;
  }
  throw new Error("the generic adapter recognises every command");
}
