/** The answer of `GET /status`. It is made for each request, so it costs nothing without one. */
import { readFileSync } from "node:fs";
import { uptime } from "node:os";
import type { History } from "../events/history.ts";
import {
  isStarted,
  type RecordedGeneration,
  type Snapshot,
  type StartedGeneration,
  treeQueryOf,
} from "../generation/record.ts";
import { type Accepting, countConnections } from "../os/connections.ts";
import type { RelayCounts } from "../os/keeping.ts";
import { listeningOn } from "../os/netstat.ts";
import type { Process } from "../os/procfs.ts";
import { unixQueue } from "../os/socket-table.ts";
import { glanceAtTree } from "../os/tree.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { maxBacklog } from "../sockets/open.ts";
import { format, hostBytes } from "../sockets/sockaddr.ts";
import type { Event, State } from "../swap/machine.ts";
import { VERSION } from "../version.ts";
import type { GenerationStatus, SocketStatus, StatusAnswer } from "./protocol.ts";

/** What the control plane sees of a run: it reads, and posts events; it owns nothing of it. */
export interface Subject {
  plan: RunPlan;
  /** The server adapter's name. */
  server: string;
  held: readonly HeldSocket[];
  /** What becomes of connections that clients keep, for a person; what the relay has, where they live on. */
  kept: { inWords(): string; counts: (() => RelayCounts | undefined) | undefined };
  supervisor: { readonly state: State; snapshot(): Snapshot; post(event: Event): void };
}

const PAGE_BYTES = 4096;
/** USER_HZ is 100 wherever this runs. */
const TICK_MS = 10;

export function statusOf({ plan, server, held, supervisor, kept }: Subject, history: History): StatusAnswer {
  const { generations } = supervisor.snapshot();
  return {
    schema: "hupwatch-status/1",
    name: plan.name,
    version: VERSION,
    pid: process.pid,
    phase: supervisor.state.phase,
    startedAt: history.startedAt,
    directory: plan.directory,
    command: plan.words,
    server,
    generations: generations.map((g) => generationStatus(g, history, generations.length > 1 ? held : [])),
    sockets: held.map((socket) => ({
      ...socketStatus(socket, generations),
      ...(supervisor.state.phase === "holding"
        ? { limit: Math.min(plan.socketOptions.backlog, maxBacklog()) }
        : {}),
    })),
    swaps: history.swaps,
    counts: history.counts,
    kept: held.length > 0 ? kept.inWords() : undefined,
    keptConnections: kept.counts?.(),
    confirmMs: plan.confirmMs,
    heldUntil: supervisor.state.phase === "holding" ? history.heldUntil : undefined,
  };
}

/** `held`: none where its connections are not to be counted. */
function generationStatus(
  recorded: RecordedGeneration,
  history: History,
  held: readonly HeldSocket[],
): GenerationStatus {
  const { number, role } = recorded;
  const isRunning = isStarted(recorded);
  const tree = isRunning ? glanceAtTree({ ...treeQueryOf(recorded), self: process.pid }) : [];
  const residentBytes = tree.reduce((sum, process) => sum + residentBytesOf(process), 0);
  const startedAt = isRunning ? startOf(recorded) : undefined;
  return {
    number,
    pid: isRunning ? recorded.pid : 0,
    role,
    startedAt,
    ...history.notesOf(number),
    ...(held.length > 0 && isRunning ? { connections: connectionsOf(tree, recorded, held) } : {}),
    processes: tree.length,
    residentBytes,
  };
}

/** Of one that is replaced they stay with it until its stop. */
function connectionsOf(
  tree: readonly Process[],
  { listeners }: RecordedGeneration,
  held: readonly HeldSocket[],
): number {
  const pids = tree.map(({ pid }) => pid);
  const places = listeners.flatMap(({ address, privatePath }): Accepting[] => {
    if (privatePath !== undefined) return [{ path: privatePath }];
    const socket = held.find((h) => format(h.address) === address)?.address;
    if (socket?.family === "unix") return [{ path: socket.path }];
    if (socket?.family === "abstract") return [{ path: `@${socket.name}` }];
    return socket === undefined ? [] : [{ hostBytes: hostBytes(socket), port: socket.port }];
  });
  return countConnections(pids, places);
}

/** As the kernel has it, for one that an earlier hupwatch started: hundredths of a second since boot (proc_pid_stat(5)). */
function startOf({ startTime }: StartedGeneration): string | undefined {
  if (startTime === undefined) return undefined;
  return new Date(Date.now() - upMs() + startTime * TICK_MS).toISOString();
}

/** In whole seconds where only /proc's processes are to be seen (ProcSubset=pid). */
function upMs(): number {
  try {
    return Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]) * 1000;
  } catch {
    return uptime() * 1000;
  }
}

/** proc_pid_statm(5): the second number, in pages. */
function residentBytesOf({ pid }: Process): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * PAGE_BYTES;
  } catch {
    return 0; // it ended meanwhile
  }
}

function socketStatus(held: HeldSocket, generations: readonly RecordedGeneration[]): SocketStatus {
  const { spec, cutover, trouble } = held;
  const address = format(held.address);
  return { name: spec.name, address, cutover: cutover.mode, ...queueOf(held, address, generations), trouble };
}

function queueOf(
  { address }: HeldSocket,
  text: string,
  generations: readonly RecordedGeneration[],
): Pick<SocketStatus, "queued" | "dropped"> {
  if (address.family === "inet" || address.family === "inet6") {
    const listening = listeningOn(hostBytes(address), address.port) ?? [];
    return {
      queued: sumOf(listening.map(({ queued }) => queued)),
      dropped: sumOf(listening.map(({ dropped }) => dropped)),
    };
  }
  const listeners = generations.flatMap((g) => g.listeners).filter((l) => l.address === text);
  const inodes = [...new Set(listeners.flatMap((l) => l.inode ?? []))];
  return { queued: sumOf(inodes.map(unixQueue)) };
}

/** Undefined where none is known. */
function sumOf(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((n) => n !== undefined);
  return known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0);
}
