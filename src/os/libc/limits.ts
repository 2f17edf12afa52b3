/** How many descriptors this process may have: getrlimit(2), RLIMIT_NOFILE. */
import { ptr } from "bun:ffi";
import { check, openLibc } from "./library.ts";

const C = openLibc({
  getrlimit: { args: ["int", "ptr"], returns: "int" },
  setrlimit: { args: ["int", "ptr"], returns: "int" },
});

const RLIMIT_NOFILE = 7;

/** Sets the soft limit, which what is started from now on inherits, and returns what it was; undefined: to the hard one. */
export function limitDescriptors(soft: bigint | undefined): bigint {
  const limits = new BigUint64Array(2);
  check("getrlimit", C.getrlimit(RLIMIT_NOFILE, ptr(limits)));
  const [was = 0n, hard = 0n] = limits;
  check("setrlimit", C.setrlimit(RLIMIT_NOFILE, ptr(BigUint64Array.of(soft ?? hard, hard))));
  return was;
}
