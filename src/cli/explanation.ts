/** What a run would do, as data: the plan with its reasons, filled in for generation 1. Starts nothing and opens nothing. */

import { groupRow, userRow } from "../os/accounts.ts";
import { fileIdentityOf } from "../os/setpriv.ts";
import { readEnvFile } from "../plan/env-file.ts";
import { keptInWords } from "../plan/kept-connections.ts";
import type { Planned } from "../plan/plan.ts";
import { proxyProtocolIn } from "../plan/proxy-protocol.ts";
import { learns, type RunPlan } from "../plan/run-plan.ts";
import { type StartRequest, startRequest } from "../plan/start-request.ts";
import { formatStopSequence } from "../plan/stop-sequence.ts";
import type { Check } from "../ready/check.ts";
import type { Quirk } from "../servers/adapter.ts";
import { cutoverOf } from "../sockets/cutover.ts";
import { descriptorOf } from "../sockets/handover.ts";
import type { Cutover } from "../sockets/held.ts";
import { OF_ALL } from "../sockets/held.ts";
import { PROBE, type SocketSpec } from "../sockets/spec.ts";
import { privateName } from "../sockets/unix-path.ts";

export interface Explanation {
  schema: "hupwatch-explain/1";
  name: string;
  server: string;
  /** The program that was run to know this, if any. */
  ran?: string;
  directory: string;
  identity: Identity;
  sockets: { name: string; bind: string; cutover: Cutover; descriptor?: number; own?: string }[];
  handover: RunPlan["handover"];
  command: { given: readonly string[]; run: readonly string[] };
  environment: { set: Record<string, string>; removed: string[] };
  /** Commands that run before a start; each must succeed. */
  preflights: readonly string[];
  checks: { check: string; proof: boolean; why: string }[];
  swap: Pick<
    RunPlan,
    "readyTimeoutMs" | "warmupMs" | "drainUntilIdleMs" | "keptConnections" | "confirmMs" | "judge" | "keepMs"
  > & {
    /** What happens to connections that clients keep, and why. */
    kept: string;
  };
  stop: { sequence: string; drain: string };
  killAtExit: boolean;
  /** With killAtExit: for how long it goes on accepting after TERM. */
  stopDelayMs: number;
  warnings: string[];
  quirks: readonly Quirk[];
}

/** The command's user and group, with their names if they have any. */
export interface Identity {
  user?: string;
  uid: number;
  group?: string;
  gid: number;
  /** Octal. */
  umask: string;
}

/** A generation's own pid and hupwatch's are known only when they run. */
const OWN_PID = "<its pid>";
const HUPWATCH_PID = "<hupwatch's pid>";
/** An explanation is pasted into issues and chats: a secret must not be in it. */
const FROM_FILE = "<from --env-file>";

/**
 * `env` is hupwatch's own, `given` the command's words as they were written, `warnings` what a start would fail by,
 * `isTakingRefused` whether no duplicate of another process' descriptor can be had. Throws HupwatchError.
 */
export function explain(
  { plan, traits }: Planned,
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  warnings: readonly string[],
  isTakingRefused: boolean,
): Explanation {
  const sockets = plan.sockets.map((spec) => ({ spec, cutover: cutoverOf(spec.address, plan.cutover) }));
  const named = sockets.map(({ spec, cutover }) => ({ name: spec.name, socket: addressIn(spec, cutover) }));
  const unproven = sockets.some(({ cutover }) => cutover.mode === "share");
  if (plan.extraListener) named.push({ name: PROBE.name, socket: "<a path of its own>" });
  const needsNotify = plan.checks.some((check) => check.needs.includes("notify"));
  const notifySocket = needsNotify ? "<a socket of hupwatch's>" : undefined;
  const request = startRequest(plan, { generation: 1, sockets: named, hupwatchPid: 0, notifySocket });
  return {
    schema: "hupwatch-explain/1",
    name: plan.name,
    server: traits.server,
    ...(traits.ran === undefined ? {} : { ran: traits.ran }),
    directory: plan.directory,
    identity: identityOf(plan),
    sockets: sockets.map(({ spec, cutover }, i) => ({
      name: spec.name,
      bind: spec.text,
      cutover,
      ...(request.passesDescriptors ? { descriptor: descriptorOf(i) } : {}),
      ...ownPath(spec, cutover),
    })),
    handover: plan.handover,
    command: { given, run: request.argv },
    environment: changed(plan, env, request),
    preflights: plan.preflights,
    checks: [
      ...(learns(plan) ? [listens(plan)] : []),
      ...plan.checks.map((check) => judged(check, { isShared: unproven, hasPrivate: plan.extraListener })),
    ],
    swap: {
      readyTimeoutMs: plan.readyTimeoutMs,
      warmupMs: plan.warmupMs,
      drainUntilIdleMs: plan.drainUntilIdleMs,
      keptConnections: plan.keptConnections,
      kept: keptInWords(plan, {
        isRefused: () => isTakingRefused,
        firstLine: () => proxyProtocolIn(plan),
      }),
      confirmMs: plan.confirmMs,
      judge: plan.judge,
      keepMs: plan.keepMs,
    },
    stop: { sequence: formatStopSequence(plan.stopSequence), drain: traits.stop.drain },
    killAtExit: plan.killAtExit,
    stopDelayMs: plan.stopDelayMs,
    warnings: [...traits.notes, ...warnings],
    quirks: traits.quirks.filter(({ ofHandover }) => !ofHandover || plan.handover !== "intercept"),
  };
}

const NOWHERE =
  "; if it comes to rest and listens nowhere, it is ready without proof, and 'hupwatch reload' exits with 3";

const listens = ({ isInterceptionRequested, isReadinessGiven }: RunPlan) => ({
  check: "listen",
  proof: true,
  why: `it is seen to listen, and accepts wherever it listens${isInterceptionRequested || isReadinessGiven ? "" : NOWHERE}`,
});

function identityOf({ user, group, umask }: Pick<RunPlan, "user" | "group" | "umask">): Identity {
  const { uid, gid } = fileIdentityOf({ user, group });
  const [userName, groupName] = [userRow(String(uid))?.[0], groupRow(String(gid))?.[0]];
  return {
    ...(userName === undefined ? {} : { user: userName }),
    uid,
    ...(groupName === undefined ? {} : { group: groupName }),
    gid,
    umask: (umask ?? process.umask()).toString(8).padStart(4, "0"),
  };
}

/** A Unix socket is bound to a hidden name, a steered one to one of the generation's own. */
function ownPath({ address }: SocketSpec, cutover: Cutover): { own?: string } {
  if (address.kind !== "unix") return {};
  return {
    own: privateName(address.path, cutover.mode === "steer" ? 1 : OF_ALL, { owner: "PID", random: "RANDOM" }),
  };
}

/** The same text as `bare` gives once the address is open, except that a host name is not resolved. */
const addressIn = (spec: SocketSpec, cutover: Cutover): string =>
  ownPath(spec, cutover).own ?? spec.text.replace(/^([A-Za-z0-9_.-]+=)?(unix:)?/, "");

function changed(
  plan: RunPlan,
  before: Readonly<Record<string, string | undefined>>,
  { env, listenPid }: StartRequest,
): Explanation["environment"] {
  const after: Record<string, string> = {
    ...env,
    HUPWATCH_PID,
    ...(listenPid ? { LISTEN_PID: OWN_PID } : {}),
  };
  const secret = plan.envFile === undefined ? {} : readEnvFile(plan.envFile, plan);
  const set = Object.fromEntries(
    Object.entries(after)
      .filter(([name, value]) => before[name] !== value)
      .map(([name, value]) => [name, secret[name] === value ? FROM_FILE : value]),
  );
  // The launcher's own variables were never the user's.
  const removed = Object.keys(before).filter((name) => !(name in after) && !/^(HUPWATCH_|BUN_)/.test(name));
  return { set, removed };
}

function judged(
  { label, needs }: Check,
  { isShared, hasPrivate }: { isShared: boolean; hasPrivate: boolean },
): Explanation["checks"][number] {
  const told = { check: label };
  if (!needs.includes("socket"))
    return needs.length > 0
      ? { ...told, proof: false, why: "the server only says so; no client has been answered" }
      : { ...told, proof: false, why: "no check connects to it" };
  if (!isShared) return { ...told, proof: true, why: "probed where only the new generation can answer" };
  return hasPrivate
    ? { ...told, proof: true, why: "probed on a private listener that only the new generation has" }
    : { ...told, proof: false, why: "the listener is shared, and the old generation may answer" };
}
