/** The keeper of an intercepted command, as a run needs it. Its code is loaded only where a command is intercepted, or was. */
import { existsSync } from "node:fs";

const keeperLink = async () => (await import("../intercept/keeper-link.ts")).KeeperLink;

/** `door`: where the next hupwatch finds it. Throws HupwatchError and SystemError. */
export const newKeeper = async (door: string | undefined) => (await keeperLink()).start(door);

/** The one that an earlier hupwatch has left at its door; undefined where there is none. */
export async function earlierKeeper(door: string) {
  return existsSync(door) ? (await keeperLink()).find(door) : undefined;
}
