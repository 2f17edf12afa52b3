/** What the exec helper is told to become: the command as the system would start it, and the filter that its listeners need. */
import { isIPv6Only, SystemError } from "../os/libc.ts";
import { locate } from "../os/lookup.ts";
import type { Interception, SpawnRequest } from "../os/spawn.ts";
import { trampoline } from "../os/trampoline.ts";
import { decode, encode } from "../sockets/sockaddr.ts";
import type { ExecOrder } from "./become-command.ts";
import { filterFor, isKnownMachine } from "./calls.ts";
import type { HandedListener } from "./protocol.ts";

/** As the keeper is told of it. */
export const handed = ({
  fd,
  sockaddr,
  alsoAt,
  privatePath,
}: Interception["listeners"][number]): HandedListener => {
  const address = decode(sockaddr);
  return { address, alsoAt, privatePath, ipv6Only: address.family === "inet6" && isIPv6Only(fd) };
};

/** Throws HupwatchError and SystemError. */
export function execOrder(request: SpawnRequest, listeners: readonly HandedListener[]): ExecOrder {
  const { words, env } = trampoline({ ...request, dieWithParent: false });
  if (!isKnownMachine(process.arch)) throw new SystemError("seccomp", "ENOSYS");
  const unix = listeners.filter(({ address }) => address.family === "unix" || address.family === "abstract");
  const lengths = unix.flatMap(({ address }) => [encode(address).length, encode(address).length - 1]);
  const traps = unix.length > 0 || request.interception?.learns ? "ports and paths" : "ports";
  return {
    path: locate({ argv: words, env, cwd: request.cwd }),
    argv: words,
    env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    directory: request.cwd,
    filter: filterFor(traps, process.arch, lengths),
  };
}
