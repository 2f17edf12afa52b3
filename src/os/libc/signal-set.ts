/** sigset_t of signal(7), glibc's size. */
import { constants } from "node:os";

export const SIGSET_BYTES = 128;

export function signalSet(names: readonly (keyof typeof constants.signals)[]): Uint8Array {
  const set = new Uint8Array(SIGSET_BYTES);
  for (const name of names) {
    const bit = constants.signals[name] - 1;
    set[bit >> 3] = (set[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return set;
}
