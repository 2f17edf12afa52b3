/** Where to aim the load at a server that hupwatch holds a socket for, by what it says. */
import { HupwatchError } from "../error.ts";
import type { HupwatchEvent } from "./event-feed.ts";

/** The first socket's; the URL is that of the GETs. */
export function targetOf(held: readonly HupwatchEvent[], url: string): string {
  const address = held.find((e) => e.address !== undefined)?.address;
  if (address === undefined)
    throw new HupwatchError("verify.no-socket", "hupwatch holds no socket of this command", {
      exitCode: 3,
      hint: "name one with --bind unix:/path or --bind host:port, or say with --target where the server listens",
    });
  if (address.startsWith("unix:")) return url === "/" ? address : `${address}:${url}`;
  // A wildcard is nothing one could connect to.
  const reachable = address.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:");
  return `http://${reachable}${url}`;
}
