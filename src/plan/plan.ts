/** Makes a RunPlan from the options and from what the server's adapter reads: one plan for `run` and `explain`. */
import { HupwatchError } from "../error.ts";
import type { Check } from "../ready/check.ts";
import { defaultCheck, parseCheck } from "../ready/parse.ts";
import type { Handed, ServerTraits, SocketOwner } from "../servers/adapter.ts";
import { traitsOf } from "../servers/adapters.ts";
import { programOf } from "../servers/reading/program.ts";
import { isDueToLook } from "../servers/reading/running.ts";
import { cutoverOf } from "../sockets/cutover.ts";
import { type Handover, handOver, hasPlaceholder, wantsProbe } from "../sockets/handover.ts";
import type { SocketOptions } from "../sockets/held.ts";
import { maxBacklog } from "../sockets/open.ts";
import { probePortsFor } from "../sockets/probe-ports.ts";
import { PROBE, parseSpecs, type SocketSpec } from "../sockets/spec.ts";
import { ageNote, backlogNote } from "./cut-values.ts";
import { generationEnvironment, givenEnvironment } from "./environment.ts";
import { metricsNote } from "./metrics.ts";
import type { Options } from "./options.ts";
import { ownerOf, UNCHANGED } from "./owner.ts";
import { NO_PATHS } from "./release.ts";
import { learns, type RunPlan } from "./run-plan.ts";
import { parseStopSequence } from "./stop-sequence.ts";
import { usage } from "./values.ts";
import { watchNote } from "./watched-path.ts";
import { pathNote, releaseNote } from "./working-directory.ts";

export interface Planned {
  plan: RunPlan;
  traits: ServerTraits;
  hooks: Options["requested"]["hooks"];
}

/** Runs the server's own code if it has to, as the command's user. Throws HupwatchError. */
export function planRun(options: Options): Planned {
  const { around, requested, ...given } = options;
  const { directory } = given;
  const account = { user: given.user, group: given.group, umask: given.umask };
  const env = generationEnvironment(given, ASKING, around.pid);
  const traits = traitsOf({ words: given.words, env, directory, account, look: around.look });
  const sockets = withRights(requested.sockets ?? parseSpecs(traits.binds, options.here), traits, requested);
  const { handover, unintercepted } = chooseHandover(
    requested.handover,
    traits,
    sockets,
    around.whyNotIntercepted,
  );
  const needsAddresses = sockets.length === 0 && handover !== "intercept" && requested.handover !== "none";
  const isUnknown = needsAddresses ? traits.unknownBinds : undefined;
  const isListenedTo = learns({ handover, sockets });
  if (isUnknown !== undefined && !isDueToLook(around.look, isUnknown)) throw refuseUnknown(isUnknown);
  const extraListener = around.runDir !== undefined && wantsExtra(traits, handover, sockets, given.cutover);
  const handedSockets = extraListener ? [...sockets, PROBE] : sockets;
  const handed = handedBy(traits, handover, handedSockets);
  rejectUnshareable(traits, sockets, given.cutover);
  if (given.confirmMs !== undefined || given.keepMs !== undefined)
    requireSteered(given.confirmMs === undefined ? "--keep" : "--confirm", handover, sockets, given.cutover);
  if (handover === "path") requireOwnPaths(handed.words, sockets, given.cutover);
  const besides = handover === "intercept" && sockets.length > 0 && besidesOf(traits) !== undefined;
  rejectStranded({ mode: handover, besides, ...handed }, handover === "none" ? [] : handedSockets);
  const plan: RunPlan = {
    ...given,
    words: handover === "systemd" || besides ? withTruePid(handed.words) : handed.words,
    releasePaths: traits.releasePaths ?? NO_PATHS,
    configFiles: traits.configFiles ?? [],
    serverEnvironment: handed.env ?? {},
    sockets: handover === "none" ? [] : sockets,
    socketOptions: {
      ...socketOptions(requested, traits, given.user),
      ...(requested.asksByLine ? { probePorts: probePortsFor(given.name, portsOf(sockets)) } : {}),
    },
    handover,
    passesBesides: besides,
    unintercepted,
    checks: isListenedTo
      ? (requested.checks ?? [])
      : chooseChecks(requested.checks, traits, handover === "none" ? [] : sockets),
    generationPidfile: traits.pidfile?.ofGeneration,
    runDir: around.runDir,
    extraListener,
    nonblocking: handingOf(traits)?.nonblocking === true,
    stopSequence: requested.stopSequence ?? parseStopSequence(traits.stop.sequence),
    hidesHandlers: traits.stop.hidesHandlers ?? false,
  };
  const notes = [...serversNotes(traits, plan, isUnknown), ...placesNotes(plan, given.words, around.cwd)];
  return { plan, traits: { ...traits, notes }, hooks: requested.hooks };
}

/** What the user should know of the server. */
function serversNotes(
  { notes, notesWhere = {} }: ServerTraits,
  { handover, sockets, unintercepted }: RunPlan,
  isUnknown: string | undefined,
): string[] {
  const isUnbound = sockets.length === 0 && !learns({ handover, sockets });
  return [
    ...notes,
    ...((handover !== "intercept" && notesWhere.unseen) || []),
    ...(isUnknown === undefined ? [] : [isUnknown]),
    ...((isUnbound && notesWhere.unbound) || []),
    ...(unintercepted === undefined ? [] : [unseen(unintercepted)]),
  ];
}

/** And of where it is started. */
function placesNotes(plan: RunPlan, [program = ""]: readonly string[], cwd: string): string[] {
  const { directory, watchPath, maxAgeMs, sockets, socketOptions } = plan;
  const env = givenEnvironment(plan);
  return [
    directory === cwd ? releaseNote(directory) : undefined,
    pathNote(program, directory, env),
    metricsNote(env),
    watchNote(watchPath),
    ageNote(maxAgeMs),
    sockets.length > 0 ? backlogNote(socketOptions.backlog, maxBacklog()) : undefined,
  ].filter((note) => note !== undefined);
}

/** No generation has this number: files that a config file makes by its generation's number belong to no generation when it is only read. */
export const ASKING = 0;

/** Otherwise clients would be lost at the first swap. */
const refuseUnknown = (why: string) =>
  new HupwatchError("server.unasked", why, {
    hint: "give each address to hupwatch with --bind, or let hupwatch trap the binds: --handover intercept",
  });

/** Behind a runner that stays, a shell in the server's place sets LISTEN_PID to its own pid and becomes the server. */
function withTruePid(words: readonly string[]): readonly string[] {
  const program = programOf(words);
  if (!program?.runner) return words;
  const shell = ["/bin/sh", "-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', "sh"];
  return [...words.slice(0, program.from), ...shell, ...words.slice(program.from)];
}

/** The server's own way to take descriptors if that is sure to reach it; else interception. `whyNot`: why binds cannot be trapped here. */
function chooseHandover(
  mode: Handover | "auto",
  traits: ServerTraits,
  sockets: readonly SocketSpec[],
  whyNot: () => string | undefined,
): { handover: Handover; unintercepted?: string | undefined } {
  if (mode !== "auto") return { handover: mode };
  const isHeld = sockets.length > 0;
  if (isHeld && hasPlaceholder(traits.words, "fd")) return { handover: "argv" };
  if (isHeld && hasPlaceholder(traits.words, "socket")) return { handover: "path" };
  const wanted = isHeld ? traits.handover.by : "intercept";
  const other = isHeld ? besidesOf(traits) : "none";
  // One that has no other way says at its start why it cannot be.
  if (wanted !== "intercept" || other === undefined) return { handover: wanted };
  const unintercepted = whyNot();
  return { handover: unintercepted === undefined ? wanted : other, unintercepted };
}

const unseen = (why: string): string =>
  `the command's own binds cannot be trapped here: ${why}; let it take its listeners by LISTEN_FDS, {fd} or {socket} (--bind), or its swaps are refused if it listens by itself; with --handover none they are not refused`;

/** The server's own way to take its sockets, unless the user has chosen another mode, or put placeholders into the command line. */
function handedBy(traits: ServerTraits, mode: Handover, sockets: readonly SocketSpec[]): Handed {
  const take = sockets.length > 0 ? dialectOf(traits, mode)?.take : undefined;
  return take?.(sockets) ?? { words: traits.words };
}

/** What it speaks itself in this mode; undefined where the user speaks for it. What is intercepted binds as it was told. */
function dialectOf(traits: ServerTraits, mode: Handover) {
  const handing = handingOf(traits);
  const { words } = traits;
  return handing?.by !== mode || hasPlaceholder(words, "fd") || hasPlaceholder(words, "socket")
    ? undefined
    : handing;
}

/** How it takes descriptors or paths; undefined where it binds by itself. */
const handingOf = ({ handover }: ServerTraits) => (handover.by === "intercept" ? undefined : handover);

const besidesOf = ({ handover }: ServerTraits) =>
  handover.by === "intercept" ? handover.besides : undefined;

/** If generations share a listener, another one that they do not share shows which of them answers; the server must serve both. */
function wantsExtra(
  traits: ServerTraits,
  mode: Handover,
  sockets: readonly SocketSpec[],
  cutover: RunPlan["cutover"],
): boolean {
  if (wantsProbe(traits.words)) return true;
  const shares = sockets.some(({ address }) => cutoverOf(address, cutover).mode === "share");
  return shares && dialectOf(traits, mode)?.takesExtra?.(sockets) === true;
}

/** Filled for each generation; whether they can be is known now. */
function rejectStranded(
  handed: Handed & { mode: Handover; besides: boolean },
  specs: readonly SocketSpec[],
): void {
  const sockets = specs.map(({ name }) => ({ name, socket: "" }));
  handOver({ ...handed, sockets, generation: 1 });
}

function rejectUnshareable(
  traits: ServerTraits,
  sockets: readonly SocketSpec[],
  cutover: RunPlan["cutover"],
): void {
  const shared = sockets.find(
    ({ address }) =>
      (address.kind === "unix" || address.kind === "abstract") &&
      cutoverOf(address, cutover).mode === "share",
  );
  const { keepsUnixToItself } = handingOf(traits) ?? {};
  if (keepsUnixToItself && shared)
    throw usage(
      `${traits.server} cannot share the Unix socket '${shared.text}': ${keepsUnixToItself}`,
      "let hupwatch steer the path (no --cutover share), or listen on a port",
    );
}

/** With a shared listener both would go on accepting, and there would be nothing to flip back. */
function requireSteered(
  option: string,
  handover: Handover,
  sockets: readonly SocketSpec[],
  cutover: RunPlan["cutover"],
): void {
  const hint =
    "let hupwatch hold a port or a path that it can steer (--bind, no --cutover share), or leave it out";
  if (handover === "none" || (sockets.length === 0 && !learns({ handover, sockets })))
    throw usage(`${option} needs a socket that hupwatch holds`, hint);
  for (const { address, text } of sockets) {
    const { mode } = cutoverOf(address, cutover);
    if (mode === "share")
      throw usage(`${option} is not possible: '${text}' is shared by all generations`, hint);
  }
}

/** The server binds another path in each generation, which its command line must name. */
function requireOwnPaths(
  words: readonly string[],
  sockets: readonly SocketSpec[],
  cutover: RunPlan["cutover"],
): void {
  if (cutover === "share")
    throw usage("--cutover share: a server that binds its own path has no shared listener", "leave it out");
  const other = sockets.find((s) => s.address.kind !== "unix");
  if (other)
    throw usage(`--handover path is for Unix sockets, and '${other.text}' is not one`, "bind unix:/path");
  if (!hasPlaceholder(words, "socket"))
    throw usage(
      "--handover path needs {socket} in the command",
      "write it where the server takes its socket's path",
    );
}

function chooseChecks(
  checks: readonly Check[] | undefined,
  traits: ServerTraits,
  sockets: readonly SocketSpec[],
): readonly Check[] {
  if (checks === undefined) return [sockets.length > 0 ? defaultCheck(traits.ready) : parseCheck("delay:0")];
  const stranded = checks.find((c) => c.needs.includes("socket") && sockets.length === 0);
  if (stranded)
    throw usage(
      `--ready ${stranded.label} has no socket to probe`,
      "hold one with --bind, or use --ready delay:SEC",
    );
  return checks;
}

function socketOptions(
  { backlog, socketMode, socketOwner, bindsGiven }: Options["requested"],
  traits: ServerTraits,
  user: string | undefined,
): SocketOptions {
  const users = user === undefined ? [] : [ownerOf(user, "--user").uid];
  const ipv6Only = !bindsGiven && traits.sockets?.ipv6Only === true;
  const owner = socketOwner ?? serversOwner(traits.sockets?.owner);
  return { backlog, mode: socketMode ?? traits.sockets?.mode, owner, users, ipv6Only };
}

const portsOf = (sockets: readonly SocketSpec[]): number[] =>
  sockets.flatMap(({ address }) => (address.kind === "tcp" ? [address.port] : []));

/** Options for all sockets come before what the server does to one. */
const withRights = (
  sockets: readonly SocketSpec[],
  traits: ServerTraits,
  { socketMode, socketOwner }: Options["requested"],
): SocketSpec[] =>
  sockets.map((spec) => {
    const { mode, owner } = traits.sockets?.of?.[spec.text] ?? {};
    const own = socketOwner === undefined ? serversOwner(owner) : undefined;
    if ((mode === undefined || socketMode !== undefined) && own === undefined) return spec;
    const wanted = {
      ...(mode !== undefined && socketMode === undefined ? { mode } : {}),
      ...(own ? { owner: own } : {}),
    };
    return { ...spec, rights: wanted };
  });

/** As its server says it: a user brings no group of its own. */
function serversOwner(owner: SocketOwner | undefined): SocketOptions["owner"] {
  if (owner?.user === undefined && owner?.group === undefined) return undefined;
  const uid = owner.user === undefined ? UNCHANGED : ownerOf(owner.user, "socket owner").uid;
  const gid = owner.group === undefined ? UNCHANGED : ownerOf(`:${owner.group}`, "socket owner").gid;
  return { uid, gid };
}
