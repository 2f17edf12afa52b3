/** The error if another socket listens at an address that is held: it names the process. */
import { HupwatchError } from "../error.ts";
import { holdersOf } from "../os/descriptors.ts";
import type { SocketSpec } from "./spec.ts";

/** `inodes`: as the kernel lists them. Looks through all of /proc. */
export const sharedWith = (spec: SocketSpec, inodes: readonly number[]): HupwatchError =>
  new HupwatchError("socket.shared", `${holders(inodes)} also listens at '${spec.text}' (SO_REUSEPORT)`, {
    hint: "end it or give it another port; if it belongs to the command, turn off the setting that makes it bind its port again (reuse_port)",
  });

/** Those of another user are not to be seen, unless we are root. */
export function holders(inodes: readonly number[]): string {
  const found = holdersOf(inodes).map(({ pid, command }) => `process ${pid} (${command})`);
  return found.length === 0 ? "a process that cannot be seen from here" : found.join(" and ");
}
