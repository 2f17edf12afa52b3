/** The last step of a run: the supervisor gets the sockets, signals and control requests, and runs until the end. */
import type { Of, Tell } from "../events/service-event.ts";
import { isStarted } from "../generation/record.ts";
import type { Adoption } from "../instance/adoption.ts";
import { doorOf } from "../instance/run-dir.ts";
import type { KeeperLink } from "../intercept/keeper-link.ts";
import type { Log } from "../log.ts";
import { becomeSubreaper } from "../os/libc.ts";
import { realOs } from "../os/os.ts";
import { Reaper } from "../os/reaper.ts";
import { learns, type RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import type { Ending } from "../swap/machine.ts";
import { Recycling, recycles } from "../swap/recycling.ts";
import { Supervisor } from "../swap/supervisor.ts";
import type { Audience } from "./audience.ts";
import { exitCodeOf } from "./exit-code.ts";
import { newKeeper } from "./keeping.ts";
import { keptConnections } from "./kept-connections.ts";
import { learnFrom } from "./learning.ts";
import type { Prepared } from "./prepared.ts";
import { listenToSignals } from "./signals.ts";

/** Until the end; returns the exit code. */
export async function supervise(
  { plan, traits, log, ownDir }: Prepared,
  audience: Audience,
  held: HeldSocket[],
  adoption: Adoption<KeeperLink>,
): Promise<number> {
  const door = ownDir && doorOf(ownDir, plan.name);
  using keeper = plan.handover === "intercept" ? (adoption.keeper ?? (await newKeeper(door))) : undefined;
  keeper?.subscribe((heard) => {
    if (heard.event === "trouble") log.warn("intercept.trouble", heard.what);
  });
  using kept = keptConnections(plan);
  const os = kept.over((keeper ?? adoption.keeper)?.over(realOs) ?? realOs);
  const supervisor = new Supervisor(plan, held, os, audience, adoption.survivors);
  using _learning = keeper && learnFrom({ plan, log, keeper, supervisor, held });
  using recycling = recycles(plan) ? new Recycling(plan, realOs, supervisor, audience.tell) : undefined;
  if (recycling) audience.join(recycling.consume);
  becomeSubreaper();
  using reaper = new Reaper(realOs.clock);
  using _signals = signalsTo(supervisor, plan, reaper, log);
  audience.openControl({ plan, server: traits.server, held, supervisor, kept });
  audience.keepUp(supervisor);
  tellBegin(plan, traits.server, held, audience.tell);
  const ending = await supervisor.run();
  if (ending.kind !== "left") kept.end();
  audience.tell(conclusion(supervisor, ending, plan));
  await audience.finish(ending);
  return exitCodeOf(ending, plan.stopSequence);
}

const signalsTo = (supervisor: Supervisor, plan: RunPlan, reaper: Reaper, log: Log): Disposable => {
  const { killAtExit, stopDelayMs } = plan;
  const isNohup = process.env.HUPWATCH_SIGHUP === "nohup";
  const isStopping = () => supervisor.state.phase === "stopping" || supervisor.state.phase === "over";
  const options = { killAtExit, stopDelayMs, isStopping, isNohup, onChildEnd: reaper.look };
  return listenToSignals(supervisor.post, options, log);
};

function tellBegin(
  { name, ...plan }: RunPlan,
  server: string,
  held: readonly HeldSocket[],
  tell: Tell,
): void {
  const isLearning = learns(plan);
  tell({ event: "run.plan", name, server });
  for (const { address, cutover } of held) tell({ event: "socket.held", address: format(address), cutover });
  if (held.length === 0 && !isLearning) tell({ event: "socket.none", learns: false });
}

function conclusion(
  supervisor: Supervisor,
  ending: Ending,
  { stopSequence: [first] }: RunPlan,
): Of<"left"> | Of<"stopped"> {
  if (ending.kind !== "left")
    return { event: "stopped", failure: ending.kind === "failed" ? ending.failure : undefined };
  const serving = supervisor.snapshot().generations.find(({ number }) => number === ending.serving);
  const leader =
    serving && isStarted(serving) && first ? { pid: serving.pid, stopSignal: first.signal } : undefined;
  return { event: "left", generation: ending.serving, leader };
}
