/** The environment of a generation: the caller's, then the env file's as it is now, then hupwatch's own variables. */

import { userRow } from "../os/accounts.ts";
import { variablesOf } from "../os/marks.ts";
import { readEnvFile } from "./env-file.ts";
import { METRICS, metricsDirectory } from "./metrics.ts";
import { physical, pinnedSearchPaths } from "./release.ts";
import type { RunPlan } from "./run-plan.ts";

/**
 * Variables for hupwatch, not for the command: the wrong process would answer a supervisor's notify socket, and a server takes
 * the LISTEN_FDS of another process for its own.
 */
const OWN = /^(NOTIFY_SOCKET|WATCHDOG_(PID|USEC)|LISTEN_(FDS|PID|FDNAMES|PIDFDID)|HUPWATCH_.*)$/;

/** The launcher's, for hupwatch alone: a command that runs on Bun wants its compiler. */
const INTERPRETER = [
  ...["BUN_JSC_useBaselineJIT", "BUN_JSC_useDFGJIT"],
  ...["BUN_JSC_useConcurrentGC", "BUN_JSC_numberOfGCMarkers"],
];

/** The caller's environment without hupwatch's own part. */
export function commandEnvironment(env: Record<string, string | undefined>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env))
    if (value !== undefined && !OWN.test(name)) kept[name] = value;
  if (env.HUPWATCH_INTERPRETS) for (const name of INTERPRETER) delete kept[name];
  if (env.HUPWATCH_SMALL_JIT) delete kept.BUN_JSC_jitMemoryReservationSize;
  return kept;
}

type Caller = Pick<RunPlan, "name" | "environment" | "envFile" | "directory" | "user" | "group">;

/** What the command would have without hupwatch. Throws HupwatchError where the env file cannot be read. */
export function givenEnvironment(plan: Caller): Record<string, string> {
  const given = {
    ...loginEnvironment(plan.environment, plan.user),
    // gunicorn imports from it (util.getcwd), whatever its working directory is.
    PWD: physical(plan.directory),
    ...(plan.envFile === undefined ? {} : readEnvFile(plan.envFile, plan)),
  };
  return { ...given, ...pinnedSearchPaths(given, plan.directory) };
}

/**
 * The variables of a user are set as systemd's User= does (systemd.exec(5)): HOME, USER, LOGNAME, SHELL. XDG_RUNTIME_DIR, which only the
 * caller can enter (0700), is removed. For a number without an account HOME is `/`, as in container runtimes.
 */
export function loginEnvironment(
  environment: Readonly<Record<string, string>>,
  user: string | undefined,
): Record<string, string> {
  if (user === undefined) return { ...environment };
  const { USER, LOGNAME, SHELL, XDG_RUNTIME_DIR, ...rest } = environment;
  const [name, , uid = user, , , home, shell] = userRow(user) ?? [];
  return {
    ...rest,
    HOME: home || "/",
    ...(name ? { USER: name, LOGNAME: name } : {}),
    ...(shell ? { SHELL: shell } : {}),
    ...(Number(uid) === process.getuid?.() && XDG_RUNTIME_DIR !== undefined ? { XDG_RUNTIME_DIR } : {}),
  };
}

/**
 * The one environment in which a generation is planned, its settings are read, its program is looked up and started. Throws HupwatchError
 * if the env file cannot be read.
 */
export function generationEnvironment(
  plan: Caller,
  generation: number,
  hupwatchPid: number,
): Record<string, string> {
  const given = givenEnvironment(plan);
  const metrics = metricsDirectory(given, generation);
  return {
    ...given,
    ...(metrics === undefined ? {} : { [METRICS]: metrics }),
    ...variablesOf({ generation, name: plan.name, hupwatchPid }),
  };
}
