/** Steer or share, and why not the better one; known before anything is opened. */
import type { Cutover } from "./held.ts";
import { hasSelectors } from "./selectors.ts";
import type { SpecAddress } from "./spec.ts";

export function cutoverOf(address: SpecAddress, asked: Cutover["mode"]): Cutover {
  if (address.kind === "fd") return { mode: "share", why: "inherited: its address belongs to the starter" };
  if (address.kind === "abstract")
    return { mode: "share", why: "an abstract socket has no path that could be renamed" };
  if (asked === "share") return { mode: "share", why: "asked for by --cutover share" };
  if (address.kind === "tcp" && !hasSelectors())
    return { mode: "share", why: "this kernel has no SO_ATTACH_REUSEPORT_CBPF (Linux 4.6)" };
  return { mode: "steer" };
}
