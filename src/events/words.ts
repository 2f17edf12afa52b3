/**
 * The message of each event: one sentence for people, its level, and the facts of its record. A sentence names the generation,
 * the value and, where there is one, the way out; it has no full stop, and may be quoted in another sentence.
 */

import { formatDuration } from "../duration.ts";
import { wayOut } from "../error.ts";
import type { EventName, Facts, Level, Told } from "./events.ts";
import type { Doubt, Failure, Leftover, Of, ServiceEvent } from "./service-event.ts";

interface Words {
  level: Level;
  text: string;
  facts?: Facts;
}

/** Many programs have a handler for only one of the two: those written for PM2 or a terminal have one for INT. */
const handledBy = (signal: string): string => {
  const other = signal === "SIGTERM" ? "INT" : "TERM";
  return `give the program a handler that lets requests finish, or use --stop-signal ${other} if it has one for SIG${other}`;
};

export function inWords(event: ServiceEvent): Told {
  const words = WORDS[event.event] as (event: ServiceEvent) => Words;
  return { event: event.event, facts: {}, ...words(event) };
}

const WORDS: { [E in EventName]: (event: Of<E>) => Words } = {
  "run.plan": ({ name, server }) => ({
    level: "debug",
    text: `${name}: ${server}`,
    facts: { name, server },
  }),
  "socket.held": ({ address, cutover }) => ({
    level: "info",
    text: `holding ${address} (${cutover.mode === "steer" ? "steered" : `shared: ${cutover.why}`})`,
    facts: { address, cutover: cutover.mode },
  }),
  "socket.learned": ({ address, generation }) => ({
    level: "info",
    text: `generation ${generation} listens at ${address}: held from now on`,
  }),
  "socket.released": ({ address }) => ({
    level: "warn",
    text: `no generation listens at ${address} any more: it is no longer held`,
  }),
  "socket.restored": ({ path, after }) => ({
    level: "warn",
    text: after === undefined ? `something unlinked ${path}: put back` : `${path} is put back`,
    facts: { path },
  }),
  "socket.taken-back": ({ path, pid }) => ({
    level: "warn",
    text: `process ${pid} of the service bound ${path} itself: taken back; it must take the descriptor that hupwatch passes`,
    facts: { path, by: pid },
  }),
  "socket.taken": ({ path, by }) => ({
    level: "error",
    text: `clients do not reach the service at ${path}: ${by}; the path is put back when that ends`,
    facts: { path, reason: by },
  }),
  "socket.linked": ({ path, by }) => ({
    level: "warn",
    text: `${path}: ${by}: clients there stay with the old generation at a swap, and reach nothing once it is gone${wayOut("link or mount the directory, or use --cutover share")}`,
    facts: { path, reason: by },
  }),
  "socket.renewed": ({ path }) => ({
    level: "error",
    text: `${path} was removed with all names of its listener: clients wait at a new one until a new generation serves`,
    facts: { path },
  }),
  "socket.none": ({ learns }) => ({
    level: learns ? "notice" : "info",
    text: learns
      ? "no socket is held: the command has come to rest and listens nowhere. If it listens later, its address is held from then on; until then no swap is proven"
      : "no socket is held: generations are swapped, connections are not (see --bind)",
  }),
  "generation.started": ({ generation, pid }) => ({
    level: "info",
    text: `generation ${generation} started (pid ${pid})`,
    facts: { generation, child: pid },
  }),
  "generation.signalled": ({ generation, signal, pids, why }) => ({
    level: signal === "SIGKILL" ? "warn" : why === undefined ? "debug" : "info",
    text: `generation ${generation}: sent ${signal} to ${pids.join(", ")}${why === undefined ? "" : ` (${why})`}`,
    facts: { generation, signal, pids, why },
  }),
  "generation.left-behind": ({ generation, processes }) => ({
    level: "error",
    text: `generation ${generation} left processes that would not end: ${listed(processes)}`,
    facts: { generation, pids: processes.map((p) => p.pid) },
  }),
  "generation.escaped": ({ generation, processes }) => ({
    level: "warn",
    text: `left running, since they belong to no generation: ${listed(processes)}, which became children of hupwatch while generation ${generation} ran`,
    facts: { generation, pids: processes.map((p) => p.pid) },
  }),
  "generation.rescued": ({ generation, connections }) => ({
    level: "info",
    text: `${connections === 1 ? "1 connection" : `${connections} connections`} waiting for generation ${generation} passed on`,
    facts: { generation, connections },
  }),
  "generation.preflight": ({ generation, command, tookMs }) => ({
    level: "info",
    text: `generation ${generation}: preflight '${command}' passed in ${formatDuration(tookMs)}`,
    facts: { generation, command, durationMs: Math.round(tookMs) },
  }),
  "generation.kept": ({ generation, kept, closed }) => ({
    level: kept > 0 ? "info" : "debug",
    text: `${kept === 1 ? "1 connection" : `${kept} connections`} of generation ${generation} live${kept === 1 ? "s" : ""} on${closed > 0 ? `, ${closed} closed` : ""}`,
    facts: { generation, kept, closed },
  }),
  "generation.ready": ({ generation, readyMs, doubt, socket }) => ({
    level: "info",
    text:
      doubt === "unasked" || readyMs === undefined
        ? `generation ${generation} counts as ready: no check was requested (--ready)`
        : `generation ${generation} ready in ${formatDuration(readyMs)}${doubted(doubt)}`,
    facts: { generation, readyMs, proven: doubt === undefined, doubt, socket },
  }),
  "generation.taken-over": ({ generation }) => ({
    level: "info",
    text: `took over generation ${generation}, which serves: swapping from it`,
    facts: { generation },
  }),
  "generation.not-taken-over": ({ generation, left, instead }) => ({
    level: "info",
    text: `stops generation ${generation}, which an earlier hupwatch has left ${left}${instead === undefined ? "" : `: generation ${instead} has the clients`}`,
    facts: { generation, left, instead },
  }),
  "generation.serves": ({ generation, doubt }) => ({
    level: "info",
    text: `generation ${generation} serves${doubted(doubt)}`,
    facts: { generation, ...unproven(doubt) },
  }),
  "generation.proven": ({ generation, readyMs, addresses }) => ({
    level: "info",
    text: `generation ${generation} accepts at ${addresses.join(", ")}, ${formatDuration(readyMs)} after its start: proven`,
    facts: { generation, readyMs, addresses },
  }),
  "hold.began": ({ forMs }) => ({
    level: "notice",
    text: `new connections wait for the next generation: 'hupwatch reload' or 'hupwatch resume' starts it; after ${formatDuration(forMs)} it starts anyway`,
    facts: { forMs },
  }),
  "hold.failed": ({ failure }) => ({
    level: "error",
    text: `new connections could not be held, and are served as before: ${failure.reason}`,
    facts: { ...failureFacts(failure) },
  }),
  "hold.filling": ({ address, queued, limit }) => ({
    level: "warn",
    text: `${queued} connections wait at ${address}, and at most ${limit} can (--backlog, net.core.somaxconn): 'hupwatch reload' or 'hupwatch resume' lets them in`,
    facts: { address, queued, limit },
  }),
  "hold.ended": ({ generation, why }) => ({
    level: "info",
    text: `generation ${generation} gets the connections that wait (${HOLD_ENDS[why]})`,
    facts: { generation, why },
  }),
  "swap.unconfirmed": ({ generation, kept, forMs, ageMs, socket }) => ({
    level: "notice",
    text: `generation ${generation} has the clients and waits for 'hupwatch confirm': without it generation ${kept} gets them back in ${formatDuration(forMs)}`,
    facts: { generation, kept, forMs, durationMs: ageMs, socket },
  }),
  "swap.done": ({ generation, retired, ageMs, doubt, keptMs, socket }) => ({
    level: doubt === undefined ? "info" : "warn",
    text: `generation ${generation} serves${doubted(doubt)}, generation ${retired} ${keptMs === undefined ? "retired" : `kept for ${formatDuration(keptMs)}: 'hupwatch rollback' gives it the clients back`}`,
    facts: {
      ...{ generation, retired, keptMs, durationMs: ageMs, socket },
      ...unproven(doubt),
    },
  }),
  "swap.rolled-back": ({ generation, serving, failure, hadClients, ageMs }) => ({
    level: "error",
    text: `rolled back: generation ${generation} ${failure.reason}; generation ${serving} goes on${hadClients ? `, and has the clients that generation ${generation} had` : ""}`,
    facts: { generation, serving, hadClients, durationMs: ageMs, ...failureFacts(failure) },
  }),
  "swap.due": ({ why }) => ({ level: "info", text: `swapping: ${why}`, facts: { reason: why } }),
  "swap.queued": ({ behind }) => ({
    level: "info",
    text: `another swap was requested: it follows after generation ${behind}`,
    facts: { behind },
  }),
  "generation.unheld": ({ generation, unheld }) => ({
    level: "warn",
    text: `generation ${generation} also listens on ${unheld.map(({ address, pid }) => `${address} (pid ${pid})`).join(", ")}, which hupwatch does not hold: two generations cannot both listen there`,
    facts: {
      generation,
      addresses: unheld.map(({ address }) => address),
      pids: unheld.map(({ pid }) => pid),
    },
  }),
  "generation.address-lost": ({ generation, before, addresses }) => ({
    level: "warn",
    text: `generation ${generation} does not listen on ${addresses.join(", ")}, as generation ${before} did`,
    facts: { generation, before, addresses },
  }),
  "generation.crashed": died,
  "generation.died": (event) => ({
    ...died(event),
    level: "warn",
    text: `generation ${event.generation}, which was being replaced, ${event.failure.reason}`,
  }),
  "generation.unkept": ({ generation }) => ({
    level: "info",
    text: `generation ${generation}, which was kept for 'hupwatch rollback', retires`,
    facts: { generation },
  }),
  "generation.hurried": ({ generation, maxDraining }) => ({
    level: "warn",
    text: `generation ${generation} is killed before its clients are done: no more than ${maxDraining} may drain at once (--max-draining ${maxDraining})`,
    facts: { generation, maxDraining },
  }),
  "generation.cut": ({ generation, signal }) => ({
    level: "warn",
    text: `${signal} ended generation ${generation} at once, and cut the connections that it had: it has no handler for this signal${wayOut(handledBy(signal))}`,
    facts: { generation, signal },
  }),
  "generation.start-failed": died,
  "generation.waiting": ({ generation, ageMs, obstacle }) => ({
    level: "warn",
    text: `generation ${generation} is not ready after ${formatDuration(ageMs)} (${obstacle})`,
    facts: { generation, ageMs, obstacle },
  }),
  "generation.given-up": ({ generation, ageMs }) => ({
    level: "warn",
    text: `generation ${generation} was not ready after ${formatDuration(ageMs)}: a fresh copy takes its place`,
    facts: { generation, ageMs },
  }),
  "generation.respawning": ({ generation, afterMs }) => ({
    level: "warn",
    text: `generation ${generation} takes its place${afterMs > 0 ? ` in ${formatDuration(afterMs)}` : ""}`,
    facts: { generation, afterMs },
  }),
  "memory.short": ({ generation, kills, where }) => ({
    level: "warn",
    text: `out of memory: the kernel killed ${kills === 1 ? "1 process" : `${kills} processes`} ${where === "machine" ? "on this machine" : "in this control group"} since the swap to generation ${generation} began; a swap needs memory for two generations`,
    facts: { generation, kills, where },
  }),
  stopping: ({ generations }) => ({
    level: "info",
    text: `stopping generation ${generations.join(" and ")}`,
    facts: { generations },
  }),
  "generation.unreachable": ({ generation, failure }) => ({
    level: "error",
    text: `generation ${generation} runs, but clients could not be sent to it: ${failure.reason}`,
    facts: { generation, ...failureFacts(failure) },
  }),
  ignored: ({ what, why }) => ({ level: "warn", text: `${what} ignored: ${why}`, facts: { what, why } }),
  "generation.gone": ({ generation, ageMs }) => ({
    level: "info",
    text: `generation ${generation} gone`,
    facts: { generation, ageMs },
  }),
  "hook.failed": ({ hook, command, reason }) => ({
    level: "warn",
    text: `hook ${hook} '${command}' ${reason}`,
    facts: { hook, command, reason },
  }),
  left: ({ generation, leader }) => ({
    level: "notice",
    text: `left generation ${generation} running${leader ? ` (pid ${leader.pid})` : ""}: the same command line takes it over${leader ? `, 'kill -${leader.stopSignal.slice(3)} ${leader.pid}' stops it` : ""}`,
    facts: { generation, child: leader?.pid },
  }),
  stopped: ({ failure }) => ({
    level: "debug",
    text: failure ? `stopped: the command ${failure.reason}` : "stopped as requested",
    facts: failure ? { ...failureFacts(failure) } : {},
  }),
};

const listed = (processes: readonly Leftover[]) => processes.map(named).join(", ");

const named = ({ pid, command, listeners = [] }: Leftover): string =>
  `${pid} (${command}${listeners.length > 0 ? `, has the listener of ${listeners.join(" and ")} open` : ""})`;

const HOLD_ENDS = {
  reload: "reload",
  request: "a fresh copy, by resume",
  deadline: "a fresh copy, since the time of the hold is over",
} as const;

const DOUBTS: Record<Doubt, string> = {
  shared: " (no proof: the listener is shared, and the old generation may have answered)",
  nowhere: " (no proof: it came to rest, and was not seen to listen anywhere)",
};

const doubted = (doubt: Doubt | undefined): string => (doubt === undefined ? "" : DOUBTS[doubt]);
const unproven = (doubt: Doubt | undefined): Facts => (doubt === undefined ? {} : { unproven: true, doubt });

function died({ generation, failure }: { generation: number; failure: Failure }): Words {
  return {
    // A command that has done its work and says so is not an error.
    level: failure.exit?.code === 0 ? "info" : "error",
    text: `generation ${generation} ${failure.reason}`,
    facts: { generation, ...failureFacts(failure) },
  };
}

export interface FailureFacts {
  /** One sentence: which check, which exit code, which limit. */
  reason: string;
  exitCode?: number | undefined;
  exitSignal?: string | undefined;
  /** The generation's last lines of stderr. It is the generation's own array, to which late lines are still added. */
  stderr?: readonly string[] | undefined;
}

export const failureFacts = ({ reason, exit, stderr }: Failure): FailureFacts => ({
  reason,
  exitCode: exit?.code,
  exitSignal: exit?.signal,
  stderr,
});
