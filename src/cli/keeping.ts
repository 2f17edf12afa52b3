/** The keeper of an intercepted command, as a run needs it. Its code is loaded only where a command may be intercepted, or was. */
import { existsSync } from "node:fs";
import type { Surroundings } from "../plan/options.ts";
import type { RunValues } from "../plan/run-values.ts";

/** Tried only if the user has not chosen another handover. */
export async function interceptionTrial({
  handover = "auto",
}: RunValues): Promise<Surroundings["whyNotIntercepted"]> {
  const mayBeAsked = handover === "auto" || handover === "intercept";
  return mayBeAsked ? (await import("../intercept/trial.ts")).whyNotIntercepted : () => "it is not wanted";
}

const keeperLink = async () => (await import("../intercept/keeper-link.ts")).KeeperLink;

/** `door`: the path at which the next hupwatch finds it. Throws HupwatchError and SystemError. */
export const newKeeper = async (door: string | undefined) => (await keeperLink()).start(door);

/** The one that an earlier hupwatch has left at its door; undefined where there is none. */
export async function earlierKeeper(door: string) {
  return existsSync(door) ? (await keeperLink()).find(door) : undefined;
}
