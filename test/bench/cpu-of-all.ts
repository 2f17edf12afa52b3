/**
 * CPU of a command and of all that it starts. What outlives it comes to this process, the subreaper (prctl(2)), and is waited for, too: the
 * keeper of an intercepted command ends beside its hupwatch, which does not wait for it. Nothing else may be running below this process.
 */
import { dlopen, ptr } from "bun:ffi";

const C = dlopen("libc.so.6", {
  getrusage: { args: ["int", "ptr"], returns: "int" },
  prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" },
  waitpid: { args: ["int", "ptr", "int"], returns: "int" },
}).symbols;
const RUSAGE_CHILDREN = -1;
const PR_SET_CHILD_SUBREAPER = 36;

/** In milliseconds. Throws where the command fails. */
export function cpuMsOfAll(command: string[], env: Record<string, string | undefined>): number {
  C.prctl(PR_SET_CHILD_SUBREAPER, 1n, 0n, 0n, 0n);
  const before = childrenMs();
  const { exitCode, stderr } = Bun.spawnSync(command, { env, stdout: "ignore" });
  while (C.waitpid(-1, null, 0) > 0);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stderr}`);
  return childrenMs() - before;
}

/** struct rusage begins with two of struct timeval, LP64: ru_utime and ru_stime. */
function childrenMs(): number {
  const usage = new BigInt64Array(18);
  C.getrusage(RUSAGE_CHILDREN, ptr(usage));
  const [userS = 0n, userUs = 0n, systemS = 0n, systemUs = 0n] = usage;
  return Number(userS + systemS) * 1000 + Number(userUs + systemUs) / 1000;
}
