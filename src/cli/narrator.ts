/** Tells the log what happens: one line per life-cycle event, with facts for the JSON form. */
import { formatDuration } from "../duration.ts";
import type { Facts, Log } from "../log.ts";
import { processOf } from "../os/procfs.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import type { Ending, Failure, Report } from "../swap/machine.ts";
import type { RunPlan } from "../swap/plan.ts";
import type { StateFile } from "../swap/state-file.ts";
import type { GenerationFacts, Listener } from "../swap/supervisor.ts";

export interface Narrator extends Listener {
  begin(server: string, held: readonly HeldSocket[]): void;
  end(ending: Ending): void;
}

export function logging(log: Log, plan: RunPlan, state: StateFile | undefined): Narrator {
  const hupwatch = { pid: process.pid, startTime: processOf(process.pid)?.startTime ?? 0 };
  return {
    changed: ({ last, generations }) =>
      state?.write({ version: 1, name: plan.name, hupwatch, last, generations }),
    begin(server, held) {
      log.debug("run.plan", `${plan.name}: ${server}`, { name: plan.name, server });
      for (const socket of held) {
        const how = socket.cutover.mode === "steer" ? "steered" : `shared: ${socket.cutover.why}`;
        log.info("socket.held", `holding ${format(socket.address)} (${how})`, {
          address: format(socket.address),
          cutover: socket.cutover.mode,
        });
      }
      if (held.length === 0)
        log.info(
          "socket.none",
          "nobody holds a socket: generations are swapped, connections are not (see --bind)",
        );
    },
    started: (generation, pid) =>
      log.info("generation.started", `generation ${generation} started (pid ${pid})`, {
        generation,
        child: pid,
      }),
    signalled: (generation, signal, pids) =>
      log[signal === "SIGKILL" ? "warn" : "debug"](
        "generation.signalled",
        `generation ${generation}: sent ${signal} to ${pids.join(", ")}`,
        { generation, signal, pids },
      ),
    leftBehind: (generation, processes) =>
      log.error(
        "generation.left-behind",
        `generation ${generation} left processes that would not end: ${processes.map((p) => `${p.pid} (${p.command})`).join(", ")}`,
        { generation, pids: processes.map((p) => p.pid) },
      ),
    rescued: (generation, connections) =>
      log.info(
        "generation.rescued",
        `${connections} connections that waited for generation ${generation} were passed on`,
        { generation, connections },
      ),
    report: (report, facts) => narrate(log, report, facts),
    end: (ending) => conclude(log, ending),
  };
}

function narrate(log: Log, report: Report, look: GenerationFacts): void {
  switch (report.event) {
    case "ready": {
      const generation = look(report.gen);
      const took = generation?.age ?? 0;
      const proven = generation?.isProven ?? true;
      const doubt = proven
        ? ""
        : " (no proof: the listener is shared, and the old generation may have answered)";
      log.info("generation.ready", `generation ${report.gen} ready in ${formatDuration(took)}${doubt}`, {
        generation: report.gen,
        readyMs: Math.round(took),
        proven,
      });
      break;
    }
    case "taken-over":
      log.info(
        "generation.taken-over",
        `took over generation ${report.gen}, which serves: swapping from it`,
        {
          generation: report.gen,
        },
      );
      break;
    case "serving":
      log.info("generation.serves", `generation ${report.gen} serves`, { generation: report.gen });
      break;
    case "swapped":
      log.info("swap.done", `generation ${report.gen} serves, generation ${report.from} retired`, {
        generation: report.gen,
        retired: report.from,
      });
      break;
    case "rolled-back":
      log.error(
        "swap.rolled-back",
        `rolled back: generation ${report.gen} ${report.failure.reason}; generation ${report.to} goes on`,
        { generation: report.gen, serving: report.to, ...failureFacts(report.failure) },
      );
      break;
    case "swap-queued":
      log.info("swap.queued", `swap asked for again: one more follows after generation ${report.behind}`, {
        behind: report.behind,
      });
      break;
    case "crashed":
    case "start-failed": {
      // A command that has done its work and says so is no error.
      const level = report.failure.exit?.code === 0 ? "info" : "error";
      log[level](
        report.event === "crashed" ? "generation.crashed" : "generation.start-failed",
        `generation ${report.gen} ${report.failure.reason}`,
        { generation: report.gen, ...failureFacts(report.failure) },
      );
      break;
    }
    case "respawning":
      log.warn(
        "generation.respawning",
        `generation ${report.gen} takes its place${report.afterMs > 0 ? ` in ${formatDuration(report.afterMs)}` : ""}`,
        { generation: report.gen, afterMs: report.afterMs },
      );
      break;
    case "stopping":
      log.info("stopping", `stopping generation ${report.gens.join(" and ")}`, { generations: report.gens });
      break;
    case "ignored":
      log.warn("ignored", `${report.what} ignored: ${report.why}`, { what: report.what, why: report.why });
      break;
    case "gone": {
      const generation = look(report.gen);
      log.info("generation.gone", `generation ${report.gen} gone`, {
        generation: report.gen,
        ageMs: Math.round(generation?.age ?? 0),
      });
    }
  }
}

const failureFacts = ({ reason, exit, stderr }: Failure): Facts => ({
  reason,
  exitCode: exit?.code,
  exitSignal: exit?.signal,
  stderr,
});

function conclude(log: Log, ending: Ending): void {
  if (ending.kind === "left")
    log.info(
      "left",
      `left generation ${ending.serving} running: the same command line takes it over, hupwatch never ends it`,
      { generation: ending.serving },
    );
}
