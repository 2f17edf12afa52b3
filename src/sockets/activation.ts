/**
 * Sockets that the starter has opened and passed by the systemd protocol (sd_listen_fds(3)): they are held in place of the
 * server's own addresses, shared by all generations, under the names that systemd gave them.
 */
import { descriptorOf } from "./handover.ts";
import type { SocketSpec } from "./spec.ts";

/** Undefined where none were passed to this very process. */
export function activatedSpecs(
  env: Record<string, string | undefined>,
  pid: number,
): SocketSpec[] | undefined {
  const count = Number(env.LISTEN_FDS);
  if (Number(env.LISTEN_PID) !== pid || !Number.isInteger(count) || count <= 0) return undefined;
  const names = env.LISTEN_FDNAMES?.split(":") ?? [];
  return Array.from({ length: count }, (_, i) => {
    const fd = descriptorOf(i);
    return { name: names[i] || "unknown", address: { kind: "fd", fd }, text: `fd://${fd}` };
  });
}
