/** A report of the table, completed by what only the generation knows: when it was ready, how old it is, whether that is proof. */
import type { Doubt, ServiceEvent } from "../events/service-event.ts";
import type { Gen, Report } from "./machine.ts";

export interface GenerationFacts {
  /** Whole milliseconds since its start. */
  ageMs: number;
  readyMs: number | undefined;
  /** No check was asked for. */
  isUnasked: boolean;
  /** Why nothing shows that it serves; undefined where it is proven. */
  doubt: Doubt | undefined;
  /** The same; undefined also where something that the user asked for says that it is ready. */
  ownDoubt: Doubt | undefined;
  /** A Unix path at which only this generation answers. */
  privatePath: string | undefined;
}

export function completed(report: Report, look: (gen: Gen) => GenerationFacts | undefined): ServiceEvent {
  const readyMsOf = (gen: Gen) => (look(gen)?.isUnasked ? undefined : look(gen)?.readyMs);
  const age = (gen: Gen) => ({ ageMs: look(gen)?.ageMs ?? 0, readyMs: readyMsOf(gen) });
  switch (report.event) {
    case "swap-queued":
      return { event: "swap.queued", behind: report.behind };
    case "holding":
      return { event: "hold.began", forMs: report.forMs };
    case "hold-failed":
      return { event: "hold.failed", failure: report.failure };
    case "hold-ended":
      return { event: "hold.ended", generation: report.gen, why: report.why };
    case "ready": {
      const { gen: generation } = report;
      const { isUnasked, doubt, privatePath: socket } = look(generation) ?? {};
      const readyMs = readyMsOf(generation);
      return { event: "generation.ready", generation, readyMs, doubt: isUnasked ? "unasked" : doubt, socket };
    }
    case "serving": {
      const { gen: generation } = report;
      const doubt = look(generation)?.ownDoubt;
      return { event: "generation.serves", generation, doubt, ...age(generation) };
    }
    case "taken-over":
    case "unkept":
      return { event: `generation.${report.event}`, generation: report.gen };
    case "unconfirmed": {
      const { gen: generation, from: kept, forMs } = report;
      const socket = look(generation)?.privatePath;
      return { event: "swap.unconfirmed", generation, kept, forMs, socket, ...age(generation) };
    }
    case "swapped": {
      const { gen: generation, from: retired, keptMs } = report;
      const { privatePath: socket, ownDoubt: doubt } = look(generation) ?? {};
      return { event: "swap.done", generation, retired, keptMs, socket, doubt, ...age(generation) };
    }
    case "rolled-back": {
      const { gen: generation, to: serving, failure, hadClients } = report;
      return { event: "swap.rolled-back", generation, serving, failure, hadClients, ...age(generation) };
    }
    case "crashed":
    case "died":
    case "start-failed":
    case "unreachable":
      return { event: `generation.${report.event}`, generation: report.gen, failure: report.failure };
    case "hurried":
      return { event: "generation.hurried", generation: report.gen, maxDraining: report.maxDraining };
    case "respawning":
      return { event: "generation.respawning", generation: report.gen, afterMs: report.afterMs };
    case "given-up":
    case "gone":
      return { event: `generation.${report.event}`, generation: report.gen, ageMs: age(report.gen).ageMs };
    case "stopping":
      return { event: "stopping", generations: report.gens };
    case "ignored":
      return report;
  }
}
