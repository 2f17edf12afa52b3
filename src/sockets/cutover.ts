/** Steer or share, and why not the better one; known before anything is opened. */
import type { Cutover } from "./held.ts";
import { hasSelectors } from "./selectors.ts";
import type { SpecAddress } from "./spec.ts";

export type Shared = Extract<Cutover, { mode: "share" }>;

const INHERITED: Shared = { mode: "share", why: "inherited: its address belongs to the starter" };
const ABSTRACT: Shared = { mode: "share", why: "an abstract socket has no path that could be renamed" };
const REQUESTED: Shared = { mode: "share", why: "requested by --cutover share" };
const OLD_KERNEL: Shared = {
  mode: "share",
  why: "this kernel does not have SO_ATTACH_REUSEPORT_CBPF (Linux 4.6)",
};

export function cutoverOf(
  address: Extract<SpecAddress, { kind: "fd" | "abstract" }>,
  requested: Cutover["mode"],
): Shared;
export function cutoverOf(address: SpecAddress, requested: Cutover["mode"]): Cutover;
export function cutoverOf({ kind }: SpecAddress, requested: Cutover["mode"]): Cutover {
  if (kind === "fd") return INHERITED;
  if (kind === "abstract") return ABSTRACT;
  if (requested === "share") return REQUESTED;
  return kind === "tcp" && !hasSelectors() ? OLD_KERNEL : { mode: "steer" };
}
