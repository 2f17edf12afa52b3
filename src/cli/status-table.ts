/** A status for people: text in, text out. */

import type { GenerationStatus, SocketStatus, StatusAnswer } from "../control/protocol.ts";
import { formatDuration } from "../duration.ts";
import type { SwapRecord } from "../events/history.ts";
import type { Instance } from "../instance/instances.ts";
import { plain } from "../text.ts";

/** What a status shows of one hupwatch: its answer, or why there is none. */
export interface Shown {
  instance: Instance;
  answer?: StatusAnswer | undefined;
  /** Why it did not answer. */
  problem?: string | undefined;
}

const SWAPS_SHOWN = 5;

export function renderStatus(shown: readonly Shown[], now: number): string {
  return shown.map((one) => (one.answer ? renderAnswer(one.answer, now) : renderMute(one))).join("\n\n");
}

function renderAnswer(answer: StatusAnswer, now: number): string {
  const { name, phase, pid, startedAt, version, directory, command, generations, sockets, swaps } = answer;
  const head = [
    `${plain(name)}   ${PHASES[phase] ?? phase}   pid ${pid}   up ${ageOf(startedAt, now)}   hupwatch ${version}`,
    plain(`${directory}$ ${command.join(" ")}`),
  ];
  const blocks = [head.join("\n"), generationTable(generations, now)];
  const waiting = generations.filter(({ waitingFor }) => waitingFor !== undefined);
  if (waiting.length > 0)
    blocks.push(
      waiting.map((g) => `generation ${g.number} is not ready: ${plain(g.waitingFor ?? "")}`).join("\n"),
    );
  if (sockets.length > 0) blocks.push(socketTable(sockets));
  const decisions = [...holdOf(answer, now), ...generations.flatMap((g) => decisionOn(g, now))];
  if (decisions.length > 0) blocks.splice(2, 0, decisions.join("\n"));
  const unreached = sockets.filter(({ trouble }) => trouble !== undefined);
  if (unreached.length > 0) blocks.push(unreached.map(troubleOf).join("\n"));
  if (swaps.length > 0) blocks.push(swapTable(swaps.slice(-SWAPS_SHOWN).reverse(), now));
  const crashes = counted(answer);
  if (crashes) blocks.push(crashes);
  if (answer.kept !== undefined) blocks.push(answer.kept);
  return blocks.join("\n\n");
}

const leftUntil = (until: string, now: number) => formatDuration(Math.max(0, Date.parse(until) - now));

function holdOf({ heldUntil }: StatusAnswer, now: number): string[] {
  if (heldUntil === undefined) return [];
  return [
    `new connections wait for 'hupwatch reload', ${leftUntil(heldUntil, now)} more; else a fresh copy gets them`,
  ];
}

/** A decision that a generation waits for. */
function decisionOn({ number, role, until }: GenerationStatus, now: number): string[] {
  if (until === undefined) return [];
  const left = leftUntil(until, now);
  if (role === "unconfirmed")
    return [`generation ${number} waits for 'hupwatch confirm', ${left} more; else it is rolled back`];
  return role === "kept"
    ? [`generation ${number} is kept, ${left} more: 'hupwatch rollback' gives it the clients`]
    : [];
}

const troubleOf = ({ address, trouble }: SocketStatus) =>
  plain(`clients do not reach the service at ${address}: ${trouble}`);

const PHASES: Record<string, string> = {
  starting: "starting",
  serving: "serving",
  holding: "holding: new connections wait",
  booting: "swapping: the new generation boots",
  warming: "swapping: both serve",
  warm: "two generations, of which one is kept",
  "rolling-back": "rolling back",
  "flipping-back": "rolling back: clients are with the old generation",
  stopping: "stopping",
  over: "ended, but for its hooks",
};

const OUTCOMES: Record<SwapRecord["outcome"], (swap: SwapRecord) => string> = {
  swapped: () => "done",
  unproven: () => "done, unproven",
  "rolled-back": ({ failure }) => `rolled back: ${failure?.reason}`,
};

function generationTable(generations: readonly GenerationStatus[], now: number): string {
  const isCounted = generations.some(({ connections }) => connections !== undefined);
  return columns([
    [
      "GENERATION",
      "PID",
      "STATE",
      "AGE",
      "READY IN",
      "PROCESSES",
      "MEMORY",
      ...(isCounted ? ["CONNECTIONS"] : []),
    ],
    ...generations.map((g) => [
      `${g.number}`,
      g.pid === 0 ? "-" : `${g.pid}`,
      g.role,
      g.startedAt === undefined ? "?" : ageOf(g.startedAt, now),
      g.readyMs === undefined ? "-" : `${formatDuration(g.readyMs)}${g.proven === false ? " (?)" : ""}`,
      `${g.processes}`,
      megabytes(g.residentBytes),
      ...(isCounted ? [g.connections === undefined ? "-" : `${g.connections}`] : []),
    ]),
  ]);
}

/** The column of dropped connections is shown during a hold, and whenever there are any. */
function socketTable(sockets: readonly SocketStatus[]): string {
  const isTold = sockets.some(({ dropped = 0, limit }) => dropped > 0 || limit !== undefined);
  return columns([
    ["SOCKET", "NAME", "CUTOVER", "QUEUE", ...(isTold ? ["DROPPED"] : [])],
    ...sockets.map((s) => [
      ...[s.address, s.name, s.cutover, queueIn(s)],
      ...(isTold ? [`${s.dropped ?? "-"}`] : []),
    ]),
  ]);
}

/** The limit is shown only if no process accepts. */
const queueIn = ({ queued, limit }: SocketStatus): string =>
  `${queued ?? "?"}${limit === undefined ? "" : ` of ${limit}`}`;

function swapTable(swaps: readonly SwapRecord[], now: number): string {
  const rows = swaps.map((swap) => [
    `${ageOf(swap.endedAt, now)} ago`,
    `to ${swap.generation}`,
    swap.outcome.replace("-", " "),
    swap.readyMs === undefined ? "-" : formatDuration(swap.readyMs),
    formatDuration(swap.durationMs),
    // Its way out stands in the log and in --json.
    swap.failure?.reason.split("; to fix: ")[0] ?? "",
  ]);
  return columns([["LAST SWAPS", "", "", "READY IN", "IN ALL", ""], ...rows]);
}

function counted({ counts, keptConnections: relay }: StatusAnswer): string {
  const parts = [
    counts.crashed > 0 ? `${plural(counts.crashed, "crash", "crashes")}` : "",
    counts.rescued > 0 ? `${plural(counts.rescued, "client", "clients")} of dead generations passed on` : "",
    relay && relay.relayed + relay.waiting > 0
      ? `${plural(relay.relayed + relay.waiting, "connection lives", "connections live")} on, ${relay.relayed} relayed`
      : "",
    counts.closed > 0 ? `${plural(counts.closed, "kept connection", "kept connections")} closed` : "",
  ];
  return parts.filter(Boolean).join(", ");
}

const plural = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

function renderMute({ instance, problem }: Shown): string {
  const { pid, left } = instance;
  const name = plain(instance.name);
  const known = pid ? [`pid ${pid}`] : [];
  if (pid !== undefined)
    return [name, ...known, plain(problem ?? "runs without a control socket")].join("   ");
  const pids = left.map((g) => `generation ${g.number} (pid ${g.pid})`).join(", ");
  const [serve, them] = left.length === 1 ? ["serves", "it"] : ["serve", "them"];
  return `${name}   ${pids} ${serve} on without hupwatch; the next start of the same command takes ${them} over, 'hupwatch stop ${name}' ends ${them}`;
}

/** One line without ages and memory, so that equal states are equal lines. */
export function summaryLine({ instance, answer, problem }: Shown): string {
  if (!answer) return renderMute({ instance, problem });
  const generations = answer.generations.map((g) => `generation ${g.number} ${g.role} (pid ${g.pid})`);
  const last = answer.swaps.at(-1);
  const outcome = last ? [`last swap ${OUTCOMES[last.outcome](last)}`] : [];
  const unreached = answer.sockets.flatMap((socket) => (socket.trouble ? [troubleOf(socket)] : []));
  const { name, phase } = answer;
  return plain([name, PHASES[phase] ?? phase, ...generations, ...outcome, ...unreached].join("   "));
}

/** Left-aligned, two blanks apart, no blanks at the ends of lines. */
function columns(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(plain));
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const megabytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(0)} MB`;

/** `12 s`, `3 m 05 s`, `2 h 10 m`, `9 d 4 h`. */
export function ageOf(since: string, now: number): string {
  const s = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  const two = (n: number) => `${n}`.padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}
