/** hupwatch's own programs: how they are started, and the one that tries what a sandbox may forbid. */
import { dirname } from "node:path";

/** As entry.ts knows them. */
type Program = "exec" | "keep" | "relay" | "take" | "try";

/** A program of this room, as this hupwatch was started itself: from its sources, one of its bundles (each has its own) or one executable. */
export function ownProgram(word: Program): string[] {
  const { execPath } = process;
  if (Bun.main.startsWith("/$bunfs/")) return [execPath, "intercept", word];
  const flags = ["--no-env-file", "--config=/dev/null"];
  const isBundled = /\/dist\/js\/\w+\.cjs$/.test(Bun.main);
  const file = isBundled ? `${dirname(Bun.main)}/${word}.cjs` : `${import.meta.dir}/entry.ts`;
  return [execPath, ...flags, file, word];
}

/**
 * Without its stock of half a megabyte, and the two threads that look after it (https://github.com/oven-sh/bun/pull/41239). A runtime ends at
 * once where it does not know an option: this one is known to have it.
 */
const QUIET = Bun.version === "1.4.5" ? ["BUN_JSC_useWarmUpMarkedBlocks=0"] : [];

/** As launcher.sh has it, and for the same reasons: no compiler, and no thread that a fork or a signal could meet. */
export const OWN_ENVIRONMENT = [
  ...["BUN_JSC_useBaselineJIT=0", "BUN_JSC_useDFGJIT=0"],
  ...["BUN_JSC_useConcurrentGC=0", "BUN_JSC_numberOfGCMarkers=1"],
  ...QUIET,
];

/** True where a filter of system calls has killed a program of ours that called pidfd_getfd(2). */
export const isKilledByTaking = (): boolean => runOwn("take", 5000).signalCode === "SIGSYS";

/** On a machine that is overloaded, too. */
const TRIAL_MS = 30_000;

/** As whyNotIntercepted of trial.ts, by a program that has nothing to lose. */
export function whyNotByProgram(): string | undefined {
  const { success, stdout, signalCode } = runOwn("try", TRIAL_MS);
  if (success) return stdout.toString() || undefined;
  return signalCode === "SIGSYS" ? "a filter of system calls forbids it" : "a trial failed";
}

function runOwn(word: Program, timeout: number) {
  const env = Object.fromEntries(OWN_ENVIRONMENT.map((line) => line.split("=") as [string, string]));
  return Bun.spawnSync(ownProgram(word), { env, stdio: ["ignore", "pipe", "ignore"], timeout });
}
