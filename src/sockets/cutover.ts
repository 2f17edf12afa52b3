/** Steer or share, and why not the better one; known before anything is opened. */
import type { Cutover } from "./held.ts";
import { hasSelectors } from "./selectors.ts";
import type { SpecAddress } from "./spec.ts";

export type Shared = Extract<Cutover, { mode: "share" }>;

const INHERITED: Shared = { mode: "share", why: "inherited: its address belongs to the starter" };
const ABSTRACT: Shared = { mode: "share", why: "an abstract socket has no path that could be renamed" };
const ASKED: Shared = { mode: "share", why: "asked for by --cutover share" };
const OLD_KERNEL: Shared = {
  mode: "share",
  why: "this kernel has no SO_ATTACH_REUSEPORT_CBPF (Linux 4.6)",
};

export function cutoverOf(
  address: Extract<SpecAddress, { kind: "fd" | "abstract" }>,
  asked: Cutover["mode"],
): Shared;
export function cutoverOf(address: SpecAddress, asked: Cutover["mode"]): Cutover;
export function cutoverOf({ kind }: SpecAddress, asked: Cutover["mode"]): Cutover {
  if (kind === "fd") return INHERITED;
  if (kind === "abstract") return ABSTRACT;
  if (asked === "share") return ASKED;
  return kind === "tcp" && !hasSelectors() ? OLD_KERNEL : { mode: "steer" };
}
