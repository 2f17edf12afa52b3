/** From the words on the command line to a RunPlan: every value is checked here, once, before anything is touched. */
import { basename, resolve } from "node:path";
import { parseDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";
import type { LogFormat } from "../log.ts";
import type { Check } from "../ready/check.ts";
import { defaultCheck, parseCheck } from "../ready/parse.ts";
import type { Handed, ServerTraits } from "../servers/adapter.ts";
import { traitsOf } from "../servers/adapters.ts";
import { activatedSpecs } from "../sockets/activation.ts";
import { cutoverOf } from "../sockets/cutover.ts";
import { type Handover, handOver, hasPlaceholder, wantsProbe } from "../sockets/handover.ts";
import type { SocketOptions } from "../sockets/held.ts";
import { maxBacklog } from "../sockets/open.ts";
import { PROBE, parseSpecs, type SocketSpec } from "../sockets/spec.ts";
import { isName } from "../text.ts";
import { commandEnvironment, givenEnvironment } from "./environment.ts";
import { type Hook, parseHook } from "./hook.ts";
import { metricsNote } from "./metrics.ts";
import { ownerOf } from "./owner.ts";
import type { RunPlan } from "./run-plan.ts";
import type { RunValues } from "./run-values.ts";
import { parseStopSequence } from "./stop-sequence.ts";
import { logicalDirectory, pathNote, releaseNote } from "./working-directory.ts";

export interface Surroundings {
  env: Record<string, string | undefined>;
  /** The physical working directory. */
  cwd: string;
  pid: number;
  ppid: number;
  stderrIsTerminal: boolean;
  runDir: string | undefined;
}

export interface Planned {
  plan: RunPlan;
  traits: ServerTraits;
  hooks: { hooks: Hook[]; timeoutMs: number };
}

/** Throws HupwatchError that names the option and the value. */
export function planRun(values: RunValues, words: readonly string[], around: Surroundings): Planned {
  if (words.length === 0)
    throw usage(
      "no command to run",
      "put it behind --, e.g. hupwatch -- gunicorn app:app --bind unix:/tmp/app.sock",
    );
  const here = logicalDirectory(around.cwd, around.env.PWD);
  const directory = resolve(here, values.chdir ?? ".");
  const environment = commandEnvironment(around.env);
  const traits = traitsOf({ words, env: environment, directory });
  const sockets = chooseSockets(values.bind, traits, around, here);
  const handover = chooseHandover(values.handover ?? "auto", traits, sockets);
  const cutover = oneOf("--cutover", values.cutover ?? "steer", ["steer", "share"]);
  const extraListener = around.runDir !== undefined && wantsExtra(traits, handover, sockets, cutover);
  const handedSockets = extraListener ? [...sockets, PROBE] : sockets;
  const handed = handedBy(traits, handover, handedSockets);
  rejectUnshareable(traits, sockets, cutover);
  if (handover === "path") requireOwnPaths(handed.words, sockets, cutover);
  rejectStrandedPlaceholders(handover, handed, handover === "none" ? [] : handedSockets);
  const limit = respawnLimit(values["respawn-limit"] ?? "5/60s");
  const plan: RunPlan = {
    name: nameOf(values.name, directory, words),
    words: handed.words,
    serverEnvironment: handed.env ?? {},
    directory,
    ...identity(values),
    environment,
    envFile: values["env-file"] === undefined ? undefined : resolve(here, values["env-file"]),
    sockets: handover === "none" ? [] : sockets,
    socketOptions: socketOptions(values, traits),
    cutover,
    handover,
    checks: chooseChecks(values.ready, traits, handover === "none" ? [] : sockets),
    // A server on a terminal keeps its terminal: who sits there has read the lines anyway.
    watchStderr: !around.stderrIsTerminal,
    generationPidfile: traits.generationPidfile,
    runDir: around.runDir,
    extraListener,
    nonblocking: traits.nonblocking ?? false,
    readyTimeoutMs: parseDuration(values["ready-timeout"] ?? "60s", "--ready-timeout"),
    isReadyTimeoutGiven: values["ready-timeout"] !== undefined,
    isReadinessGiven: values.ready !== undefined,
    warmupMs: parseDuration(values["warmup-time"] ?? "1", "--warmup-time"),
    drainUntilIdleMs: parseDuration(values["drain-until-idle"] ?? "5s", "--drain-until-idle"),
    stopSequence: parseStopSequence(values["stop-signal"] ?? traits.stop),
    maxDraining: wholeNumber("--max-draining", values["max-draining"] ?? "4", 1, 1000),
    respawn:
      oneOf("--on-crash", values["on-crash"] ?? "exit", ["exit", "respawn"]) === "respawn"
        ? limit
        : undefined,
    killAtExit: values["kill-at-exit"] ?? (around.pid === 1 || around.ppid === 1),
  };
  const given = givenEnvironment(plan);
  const notes = [
    ...traits.notes,
    ...(plan.sockets.length > 0 ? [] : (traits.notesUnbound ?? [])),
    directory === around.cwd ? releaseNote(directory) : undefined,
    pathNote(words[0] ?? "", directory, given),
    metricsNote(given),
  ].filter((note) => note !== undefined);
  logFormatOf(values);
  const hooks = {
    hooks: (values.hook ?? []).map(parseHook),
    timeoutMs: parseDuration(values["hook-timeout"] ?? "30s", "--hook-timeout"),
  };
  return { plan, traits: { ...traits, notes }, hooks };
}

/** By itself, too: a run logs before it plans. */
export const logFormatOf = (values: RunValues): LogFormat =>
  oneOf("--log-format", values["log-format"] ?? "text", ["text", "json"]);

const usage = (message: string, hint: string) => new HupwatchError("usage", message, { hint });

/** What the user says, else what the starter has opened for us, else the server's own. */
function chooseSockets(
  asked: string[] | undefined,
  traits: ServerTraits,
  { env, pid }: Surroundings,
  directory: string,
): SocketSpec[] {
  const activated = asked ? undefined : activatedSpecs(env, pid);
  // Of these several may have one name: systemd names them after their unit.
  if (activated) return activated;
  return parseSpecs(asked ?? traits.binds, directory);
}

function chooseHandover(wanted: string, traits: ServerTraits, sockets: readonly SocketSpec[]): Handover {
  const mode = oneOf("--handover", wanted, ["auto", "intercept", "systemd", "argv", "path", "none"]);
  if (mode === "intercept" && sockets.length === 0)
    throw usage("--handover intercept: no socket is held that could be given", "name it with --bind");
  if (mode !== "auto") return mode;
  if (sockets.length === 0) return "none";
  if (hasPlaceholder(traits.words, "fd")) return "argv";
  return hasPlaceholder(traits.words, "socket") ? "path" : traits.handover;
}

/** The server's own dialect, unless the user speaks for it: by another mode, or by placeholders in its words. */
function handedBy(traits: ServerTraits, mode: Handover, sockets: readonly SocketSpec[]): Handed {
  const { words, take } = traits;
  return take && sockets.length > 0 && speaksItself(traits, mode) ? take(sockets) : { words };
}

const speaksItself = ({ words, handover }: ServerTraits, mode: Handover): boolean =>
  mode === handover && !hasPlaceholder(words, "fd") && !hasPlaceholder(words, "socket");

/** Where generations share a listener, one that they do not share tells who answers; it needs a server that serves both. */
function wantsExtra(
  traits: ServerTraits,
  mode: Handover,
  sockets: readonly SocketSpec[],
  cutover: RunPlan["cutover"],
): boolean {
  if (wantsProbe(traits.words)) return true;
  const shares = sockets.some(({ address }) => cutoverOf(address, cutover).mode === "share");
  const takesIt = speaksItself(traits, mode) && traits.takesExtraListener?.(sockets) === true;
  return shares && takesIt;
}

/** Filled for each generation; whether they can be is known now. */
function rejectStrandedPlaceholders(mode: Handover, handed: Handed, specs: readonly SocketSpec[]): void {
  const sockets = specs.map(({ name }) => ({ name, socket: "" }));
  handOver({ mode, ...handed, sockets, generation: 1 });
}

function rejectUnshareable(
  { server, keepsUnixToItself }: ServerTraits,
  sockets: readonly SocketSpec[],
  cutover: RunPlan["cutover"],
): void {
  const shared = sockets.find(
    ({ address }) =>
      (address.kind === "unix" || address.kind === "abstract") &&
      cutoverOf(address, cutover).mode === "share",
  );
  if (keepsUnixToItself && shared)
    throw usage(
      `${server} cannot share the Unix socket '${shared.text}': ${keepsUnixToItself}`,
      "let hupwatch steer a path (no --cutover share), or listen on a port",
    );
}

/** The server binds a path of its own for each generation, so it has to be told which. */
function requireOwnPaths(
  words: readonly string[],
  sockets: readonly SocketSpec[],
  cutover: RunPlan["cutover"],
): void {
  if (cutover === "share")
    throw usage("--cutover share: a server that binds a path of its own shares none", "leave it out");
  const other = sockets.find((s) => s.address.kind !== "unix");
  if (other)
    throw usage(`--handover path is for Unix sockets, and '${other.text}' is none`, "bind unix:/path");
  if (!hasPlaceholder(words, "socket"))
    throw usage(
      "--handover path needs {socket} in the command",
      "write it where the server takes its socket's path",
    );
}

function chooseChecks(
  asked: string[] | undefined,
  traits: ServerTraits,
  sockets: readonly SocketSpec[],
): Check[] {
  if (asked === undefined) return [sockets.length > 0 ? defaultCheck(traits.ready) : parseCheck("delay:0")];
  const checks = asked.map(parseCheck);
  const stranded = checks.find((c) => c.needs.includes("socket") && sockets.length === 0);
  if (stranded)
    throw usage(
      `--ready ${stranded.label} has no socket to ask`,
      "hold one with --bind, or use --ready delay:SEC",
    );
  return checks;
}

function identity({ user, group, umask }: RunValues): Pick<RunPlan, "user" | "group" | "umask"> {
  if (user !== undefined) ownerOf(user, "--user");
  if (group !== undefined) ownerOf(`:${group}`, "--group");
  return { user, group, umask: umask === undefined ? undefined : octal("--umask", umask, "0027") };
}

function socketOptions(values: RunValues, traits: ServerTraits): SocketOptions {
  const owner = values["socket-owner"] ?? (values.bind ? undefined : traits.socketOwner);
  return {
    backlog:
      values.backlog === undefined ? maxBacklog() : wholeNumber("--backlog", values.backlog, 1, 1_000_000),
    mode:
      values["socket-mode"] === undefined
        ? traits.socketMode
        : octal("--socket-mode", values["socket-mode"], "0660"),
    owner: owner === undefined ? undefined : ownerOf(owner, "--socket-owner"),
  };
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

export function oneOf<const T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((a) => a === value);
  if (found === undefined) throw usage(`${option} '${value}' is not known`, `use ${allowed.join(", ")}`);
  return found;
}

export function wholeNumber(option: string, text: string, min: number, max: number): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (n >= min && n <= max) return n;
  throw usage(
    `${option} '${text}' is not a number from ${min} to ${max}`,
    "give a whole number in that range",
  );
}

function respawnLimit(text: string): { times: number; withinMs: number } {
  const [times, within] = text.split("/");
  if (!times || !within)
    throw usage(
      `--respawn-limit '${text}' is not a limit`,
      "write it like 5/60s: five deaths within a minute",
    );
  return {
    times: wholeNumber("--respawn-limit", times, 1, 100_000),
    withinMs: parseDuration(within, `--respawn-limit ${text}`),
  };
}

function octal(option: string, text: string, example: string): number {
  if (/^0?o?[0-7]{3}$/.test(text)) return Number.parseInt(text.slice(-3), 8);
  throw usage(`${option} '${text}' is not a file mode`, `give it in octal, e.g. ${example}`);
}
