/**
 * Looked at before the first request: is anything there at all, and may this process open the connections? Both would
 * otherwise end as a run of nothing but failures that says little. No byte is sent to the server.
 */
import { readFileSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import type { LoadPlan } from "./plan.ts";
import { RefusalOracle } from "./refusal.ts";
import type { Address, Target } from "./target.ts";

const CONNECT_LIMIT_MS = 5000;
/** Standard streams, the event loop's own, a report file. */
const OWN_DESCRIPTORS = 32;

/** Throws with exit code 3 where a run would be pointless; the hint names the way out. */
export async function preflight({ target, connections, mode }: LoadPlan): Promise<void> {
  // In `mix`, kept connections wait while fresh ones are in flight.
  const needed = connections * (mode === "mix" ? 2 : 1) + OWN_DESCRIPTORS;
  const limit = openFilesLimit();
  if (needed > limit)
    throw setUp(
      "load.descriptors",
      `${connections} connections need ${needed} descriptors, and this process may open ${limit}`,
      `raise the limit with 'ulimit -n ${needed}', or give fewer --connections`,
    );
  const errno = await connectErrno(target.address);
  if (errno !== undefined && errno !== "EAGAIN")
    throw setUp("load.nothing-there", `nothing answers at ${target.text}: ${errno}`, hintFor(errno, target));
}

/** Undefined where a connection came about. EAGAIN: a listener with a full queue. */
async function connectErrno(address: Address): Promise<string | undefined> {
  if (address.kind === "unix") return new RefusalOracle(address).look();
  const outcome = Promise.withResolvers<string | undefined>();
  const limit = setTimeout(() => outcome.resolve("ETIMEDOUT"), CONNECT_LIMIT_MS);
  const socket = {
    open: (s: { end(): void }) => {
      outcome.resolve(undefined);
      s.end();
    },
    data: () => {},
    connectError: (_: unknown, error: Error) =>
      outcome.resolve((error as NodeJS.ErrnoException).code ?? error.message),
  };
  Bun.connect({ hostname: address.hostname, port: address.port, socket }).catch(() => {});
  const errno = await outcome.promise;
  clearTimeout(limit);
  return errno;
}

function openFilesLimit(): number {
  const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

function hintFor(errno: string, { text }: Target): string {
  switch (errno) {
    case "ENOENT":
      return `start the server first, or correct the path: the file does not exist`;
    case "ECONNREFUSED":
      return text.startsWith("unix:")
        ? "start the server: the file is left from one that has ended, or is not a socket"
        : "start the server, or correct the port";
    case "EACCES":
      return "run as a user with the right to write to the socket and to enter its directory";
    default:
      return "start the server and check the address";
  }
}

const setUp = (code: string, message: string, hint: string) =>
  new HupwatchError(code, message, { exitCode: 3, hint });
