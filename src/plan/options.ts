/** Reads the options and checks each value, before anything is run, touched or started. */
import { basename, resolve } from "node:path";
import type { LogFormat } from "../log.ts";
import type { Check } from "../ready/check.ts";
import { parseCheck } from "../ready/parse.ts";
import type { CommandLine } from "../servers/adapter.ts";
import { activatedSpecs } from "../sockets/activation.ts";
import type { Handover } from "../sockets/handover.ts";
import type { SocketOptions } from "../sockets/held.ts";
import { maxBacklog } from "../sockets/open.ts";
import { parseSpecs, type SocketSpec } from "../sockets/spec.ts";
import { isName } from "../text.ts";
import { commandEnvironment } from "./environment.ts";
import { type Hook, parseHook } from "./hook.ts";
import { KEPT_CONNECTIONS } from "./kept-connections.ts";
import { groupOf, ownerOf } from "./owner.ts";
import type { RunPlan } from "./run-plan.ts";
import { RUN_DEFAULTS, type RunValues } from "./run-values.ts";
import { parseStopSequence } from "./stop-sequence.ts";
import { duration, given, oneOf, size, usage, wholeNumber } from "./values.ts";
import { logicalDirectory } from "./working-directory.ts";

export interface Surroundings {
  env: Record<string, string | undefined>;
  /** The physical working directory. */
  cwd: string;
  pid: number;
  ppid: number;
  stderrIsTerminal: boolean;
  runDir: string | undefined;
  /** Why the binds of a command cannot be seen here; undefined where they can. Asked only where that is wanted. */
  whyNotIntercepted(): string | undefined;
  /** As CommandLine has it. */
  look?: CommandLine["look"];
}

/** The part of a plan that depends on no server. */
type Given = Omit<
  RunPlan,
  | "releasePaths"
  | "configFiles"
  | "serverEnvironment"
  | "sockets"
  | "socketOptions"
  | "handover"
  | "passesBesides"
  | "unintercepted"
  | "checks"
  | "generationPidfile"
  | "runDir"
  | "extraListener"
  | "nonblocking"
  | "stopSequence"
  | "hidesHandlers"
>;

export interface Options extends Given {
  around: Surroundings;
  /** What relative addresses are relative to. */
  here: string;
  /** Undefined leaves it to the server. */
  requested: {
    /** Given by --bind, or opened by the starter for us. */
    sockets: readonly SocketSpec[] | undefined;
    bindsGiven: boolean;
    handover: Handover | "auto";
    checks: readonly Check[] | undefined;
    stopSequence: RunPlan["stopSequence"] | undefined;
    backlog: number;
    socketMode: number | undefined;
    socketOwner: SocketOptions["owner"];
    /** A shell line of the user may connect to the new generation. */
    asksByLine: boolean;
    hooks: { hooks: Hook[]; timeoutMs: number };
  };
}

/** Throws HupwatchError that names the option and the value. */
export function readOptions(values: RunValues, words: readonly string[], around: Surroundings): Options {
  if (words.length === 0)
    throw usage(
      "no command to run",
      "put it behind --, e.g. hupwatch -- gunicorn app:app --bind unix:/tmp/app.sock",
    );
  logFormatOf(values);
  const known = { ...RUN_DEFAULTS, ...values };
  const here = logicalDirectory(around.cwd, around.env.PWD);
  const directory = resolve(here, values.chdir ?? ".");
  const limit = respawnLimit(known["respawn-limit"]);
  return {
    around,
    here,
    requested: requestedOf(values, around, here),
    name: nameOf(values.name, directory, words),
    words,
    directory,
    ...identity(values),
    environment: commandEnvironment(around.env),
    envFile: values["env-file"] === undefined ? undefined : resolve(here, values["env-file"]),
    isHandoverRefused: values.handover === "none",
    isInterceptionRequested: values.handover === "intercept",
    cutover: oneOf(known.cutover, "--cutover", ["steer", "share"]),
    // A server on a terminal keeps its terminal: its user has read the lines anyway.
    watchStderr: !around.stderrIsTerminal,
    readyTimeoutMs: duration(known["ready-timeout"], "--ready-timeout", 1),
    isReadyTimeoutGiven: values["ready-timeout"] !== undefined,
    isReadinessGiven: values.ready !== undefined,
    preflights: values.preflight ?? [],
    warmupMs: duration(known["warmup-time"], "--warmup-time"),
    drainUntilIdleMs: duration(known["drain-until-idle"], "--drain-until-idle"),
    keptConnections: oneOf(known["kept-connections"], "--kept-connections", KEPT_CONNECTIONS),
    maxDraining: wholeNumber(known["max-draining"], "--max-draining", 1, 1000),
    respawn: oneOf(known["on-crash"], "--on-crash", ["exit", "respawn"]) === "respawn" ? limit : undefined,
    ...steering(values),
    ...recycling(values, directory),
    ...leaving(values, around),
  };
}

function leaving(
  values: RunValues,
  { pid, ppid }: Surroundings,
): Pick<RunPlan, "killAtExit" | "stopDelayMs"> {
  const killAtExit = values["kill-at-exit"] ?? (pid === 1 || ppid === 1);
  const delay = values["stop-delay"];
  if (delay !== undefined && !killAtExit)
    throw usage("--stop-delay without -k", "add -k: without it TERM leaves the service running");
  return { killAtExit, stopDelayMs: duration(delay ?? RUN_DEFAULTS["stop-delay"], "--stop-delay") };
}

function requestedOf(values: RunValues, { env, pid }: Surroundings, here: string): Options["requested"] {
  const { bind, backlog } = values;
  const known = { ...RUN_DEFAULTS, ...values };
  const [mode, owner] = [values["socket-mode"], values["socket-owner"]];
  return {
    // Of those that the starter has opened several may have one name: systemd names them after their unit.
    sockets: bind ? parseSpecs(bind, here) : activatedSpecs(env, pid),
    bindsGiven: bind !== undefined,
    handover: oneOf(known.handover, "--handover", ["auto", "intercept", "systemd", "argv", "path", "none"]),
    checks: values.ready?.map(parseCheck),
    stopSequence: values["stop-signal"] === undefined ? undefined : parseStopSequence(values["stop-signal"]),
    backlog: backlog === undefined ? maxBacklog() : wholeNumber(backlog, "--backlog", 1, 1_000_000),
    socketMode: mode === undefined ? undefined : octal("--socket-mode", mode, "0660"),
    socketOwner: owner === undefined ? undefined : ownerOf(owner, "--socket-owner"),
    asksByLine:
      values.hook !== undefined ||
      values.judge !== undefined ||
      values.ready?.some((check) => check.startsWith("exec:")) === true,
    hooks: {
      hooks: (values.hook ?? []).map(parseHook),
      timeoutMs: duration(known["hook-timeout"], "--hook-timeout", 1),
    },
  };
}

function recycling(
  { "max-age": age, "max-memory": memory, "watch-path": path }: RunValues,
  directory: string,
): Pick<RunPlan, "maxAgeMs" | "maxMemoryBytes" | "watchPath"> {
  return {
    maxAgeMs: given(age, duration, "--max-age", 1),
    maxMemoryBytes: given(memory, memoryOf),
    watchPath: path === undefined ? undefined : resolve(directory, path),
  };
}

/** Less memory than any serving process has: the user meant another unit. */
const MIN_BYTES = 1024 ** 2;

function memoryOf(text: string): number {
  const bytes = size(text, "--max-memory");
  if (bytes >= MIN_BYTES) return bytes;
  throw usage(
    `--max-memory '${text}' is ${bytes === 1 ? "1 byte" : `${bytes} bytes`}, less than any server has: it would be replaced again and again`,
    `write the unit: ${/\d$/.test(text) ? `${text}m, ${text}g` : "512m, 1.5g"}; 1m is the least`,
  );
}

function steering({ confirm, judge, keep }: RunValues): Pick<RunPlan, "confirmMs" | "judge" | "keepMs"> {
  if (judge !== undefined && !/^exec:./s.test(judge))
    throw usage(`--judge '${judge}' is not a judge`, "write exec:CMD");
  if (judge !== undefined && confirm === undefined)
    throw usage("--judge without --confirm", "say for how long it judges, e.g. --confirm 2m");
  return {
    confirmMs: given(confirm, duration, "--confirm", 1),
    judge: judge?.slice("exec:".length),
    keepMs: given(keep, duration, "--keep", 1),
  };
}

/** By itself, too: a run logs before it plans. */
export const logFormatOf = (values: RunValues): LogFormat =>
  oneOf(values["log-format"] ?? RUN_DEFAULTS["log-format"], "--log-format", ["text", "json"]);

function identity({ user, group, umask }: RunValues): Pick<RunPlan, "user" | "group" | "umask"> {
  if (user?.includes(":")) {
    const [name = "", ofGroup = ""] = user.split(":");
    throw usage(`--user '${user}' is not a user`, `write --user ${name} --group ${ofGroup}`);
  }
  if (user !== undefined) ownerOf(user, "--user");
  if (group !== undefined) groupOf(group, "--group");
  return { user, group, umask: umask === undefined ? undefined : octal("--umask", umask, "0027") };
}

/** Letters that are safe in a file name; the hash keeps two commands of one directory apart. */
function nameOf(given: string | undefined, directory: string, words: readonly string[]): string {
  if (given !== undefined) {
    if (isName(given)) return given;
    throw usage(`--name '${given}' is not a name`, "use up to 64 letters, digits and . _ @ -");
  }
  const hash = Bun.hash(JSON.stringify([directory, words]))
    .toString(16)
    .padStart(16, "0")
    .slice(0, 6);
  const readable = `${basename(directory)}-${basename(words[0] ?? "")}`.replace(/[^A-Za-z0-9_.-]/g, "_");
  return `${readable.replace(/^[^A-Za-z0-9_]+/, "").slice(0, 48)}-${hash}`;
}

function respawnLimit(text: string): { times: number; withinMs: number } {
  const [times, within] = text.split("/");
  if (!times || !within)
    throw usage(
      `--respawn-limit '${text}' is not a limit`,
      "write it like 5/60s: five deaths within a minute",
    );
  return {
    times: wholeNumber(times, "--respawn-limit", 1, 100_000),
    withinMs: duration(within, `--respawn-limit ${text}:`, 1),
  };
}

function octal(option: string, text: string, example: string): number {
  if (/^0?o?[0-7]{3}$/.test(text)) return Number.parseInt(text.slice(-3), 8);
  throw usage(`${option} '${text}' is not a file mode`, `give it in octal, e.g. ${example}`);
}
