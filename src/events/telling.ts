/** Puts what the supervisor reports into words: every listener of happenings (log, event stream, hooks) gets the same. */
import { formatDuration } from "../duration.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import type { Ending, Report } from "../swap/machine.ts";
import type { GenerationFacts, Listener } from "../swap/supervisor.ts";
import { ageOf, failureOf } from "./event-log.ts";
import type { Happening } from "./events.ts";

export type Tell = (happening: Happening) => void;

export interface Teller extends Omit<Listener, "changed"> {
  /** What others than the supervisor have to tell. */
  tell: Tell;
  begin(name: string, server: string, held: readonly HeldSocket[]): void;
  /** `left`: the leader of the generation that goes on, and how it would be stopped. */
  end(ending: Ending, left?: Left): void;
}

export interface Left {
  pid: number;
  stopSignal: NodeJS.Signals;
}

export function telling(ears: readonly Tell[]): Teller {
  const tell: Tell = (happening) => {
    for (const ear of ears) ear(happening);
  };
  return {
    tell,
    begin(name, server, held) {
      tell({ event: "run.plan", level: "debug", text: `${name}: ${server}`, facts: { name, server } });
      for (const socket of held) tell(holding(socket));
      const text = "nobody holds a socket: generations are swapped, connections are not (see --bind)";
      if (held.length === 0) tell({ event: "socket.none", level: "info", text, facts: {} });
    },
    started: (generation, child) =>
      tell({
        event: "generation.started",
        level: "info",
        text: `generation ${generation} started (pid ${child})`,
        facts: { generation, child },
      }),
    signalled: (generation, signal, pids) =>
      tell({
        event: "generation.signalled",
        level: signal === "SIGKILL" ? "warn" : "debug",
        text: `generation ${generation}: sent ${signal} to ${pids.join(", ")}`,
        facts: { generation, signal, pids },
      }),
    leftBehind: (generation, processes) =>
      tell({
        event: "generation.left-behind",
        level: "error",
        text: `generation ${generation} left processes that would not end: ${processes.map((p) => `${p.pid} (${p.command})`).join(", ")}`,
        facts: { generation, pids: processes.map((p) => p.pid) },
      }),
    rescued: (generation, connections) =>
      tell({
        event: "generation.rescued",
        level: "info",
        text: `${connections === 1 ? "1 connection" : `${connections} connections`} waiting for generation ${generation} passed on`,
        facts: { generation, connections },
      }),
    report: (report, look) => tell(inWords(report, look)),
    end: (ending, left) => tell(conclusion(ending, left)),
  };
}

function holding({ address, cutover }: HeldSocket): Happening {
  const how = cutover.mode === "steer" ? "steered" : `shared: ${cutover.why}`;
  return {
    event: "socket.held",
    level: "info",
    text: `holding ${format(address)} (${how})`,
    facts: { address: format(address), cutover: cutover.mode },
  };
}

function inWords(report: Report, look: GenerationFacts): Happening {
  switch (report.event) {
    case "ready": {
      const generation = look(report.gen);
      const took = generation?.age ?? 0;
      const proven = generation?.isProven ?? true;
      const doubt = proven
        ? ""
        : " (no proof: the listener is shared, and the old generation may have answered)";
      return {
        event: "generation.ready",
        level: "info",
        text: `generation ${report.gen} ready in ${formatDuration(took)}${doubt}`,
        facts: { generation: report.gen, readyMs: Math.round(took), proven },
      };
    }
    case "taken-over":
      return {
        event: "generation.taken-over",
        level: "info",
        text: `took over generation ${report.gen}, which serves: swapping from it`,
        facts: { generation: report.gen },
      };
    case "serving":
      return {
        event: "generation.serves",
        level: "info",
        text: `generation ${report.gen} serves`,
        facts: { generation: report.gen },
      };
    case "swapped":
      return {
        event: "swap.done",
        level: "info",
        text: `generation ${report.gen} serves, generation ${report.from} retired`,
        facts: { generation: report.gen, retired: report.from, durationMs: ageOf(report.gen, look) },
      };
    case "rolled-back":
      return {
        event: "swap.rolled-back",
        level: "error",
        text: `rolled back: generation ${report.gen} ${report.failure.reason}; generation ${report.to} goes on`,
        facts: {
          generation: report.gen,
          serving: report.to,
          durationMs: ageOf(report.gen, look),
          ...failureOf(report.failure),
        },
      };
    case "swap-queued":
      return {
        event: "swap.queued",
        level: "info",
        text: `swap asked for again: one more follows after generation ${report.behind}`,
        facts: { behind: report.behind },
      };
    case "crashed":
    case "start-failed":
      return {
        event: report.event === "crashed" ? "generation.crashed" : "generation.start-failed",
        // A command that has done its work and says so is no error.
        level: report.failure.exit?.code === 0 ? "info" : "error",
        text: `generation ${report.gen} ${report.failure.reason}`,
        facts: { generation: report.gen, ...failureOf(report.failure) },
      };
    case "respawning":
      return {
        event: "generation.respawning",
        level: "warn",
        text: `generation ${report.gen} takes its place${report.afterMs > 0 ? ` in ${formatDuration(report.afterMs)}` : ""}`,
        facts: { generation: report.gen, afterMs: report.afterMs },
      };
    case "stopping":
      return {
        event: "stopping",
        level: "info",
        text: `stopping generation ${report.gens.join(" and ")}`,
        facts: { generations: report.gens },
      };
    case "unreachable":
      return {
        event: "generation.unreachable",
        level: "error",
        text: `generation ${report.gen} runs, but clients could not be sent to it: ${report.failure.reason}`,
        facts: { generation: report.gen, ...failureOf(report.failure) },
      };
    case "ignored":
      return {
        event: "ignored",
        level: "warn",
        text: `${report.what} ignored: ${report.why}`,
        facts: { what: report.what, why: report.why },
      };
    case "gone":
      return {
        event: "generation.gone",
        level: "info",
        text: `generation ${report.gen} gone`,
        facts: { generation: report.gen, ageMs: ageOf(report.gen, look) },
      };
  }
}

function conclusion(ending: Ending, left: Left | undefined): Happening {
  switch (ending.kind) {
    case "left": {
      const who = left ? ` (pid ${left.pid})` : "";
      const stop = left ? `, 'kill -${left.stopSignal.slice(3)} ${left.pid}' stops it` : "";
      return {
        event: "left",
        level: "notice",
        text: `left generation ${ending.serving} running${who}: the same command line takes it over${stop}`,
        facts: { generation: ending.serving, child: left?.pid },
      };
    }
    case "stopped":
      return { event: "stopped", level: "debug", text: "stopped as asked", facts: {} };
    case "failed":
      return {
        event: "stopped",
        level: "debug",
        text: `stopped: the command ${ending.failure.reason}`,
        facts: { ...failureOf(ending.failure) },
      };
  }
}
