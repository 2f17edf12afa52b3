/** The one error class of hupwatch, as a test wants to look at it. */
import { HupwatchError } from "../../src/error.ts";

/** What `act` throws; fails where it throws nothing or a bug. */
export function thrownBy(act: () => unknown): HupwatchError {
  try {
    act();
  } catch (error) {
    return known(error);
  }
  throw new Error("nothing was thrown");
}

export async function rejectionOf(promise: Promise<unknown>): Promise<HupwatchError> {
  try {
    await promise;
  } catch (error) {
    return known(error);
  }
  throw new Error("nothing was thrown");
}

function known(error: unknown): HupwatchError {
  if (error instanceof HupwatchError) return error;
  throw error;
}
