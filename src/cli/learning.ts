/**
 * Addresses at which a generation listens and which the command line does not name. Each is taken over from the keeper, as a survivor's is,
 * and held from then on. The keeper only repeats what the command did, so an address is held only if the socket itself has it.
 */
import { systemReason } from "../error.ts";
import type { KeeperLink, Learned } from "../intercept/keeper-link.ts";
import type { Log } from "../log.ts";
import { close, getsockname, isListening } from "../os/libc.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { holdAll } from "../sockets/open.ts";
import { decode, format } from "../sockets/sockaddr.ts";
import { parseSpecs } from "../sockets/spec.ts";
import type { Supervisor } from "../swap/supervisor.ts";

export interface Learner {
  plan: RunPlan;
  log: Log;
  keeper: KeeperLink;
  supervisor: Supervisor;
  held: readonly HeldSocket[];
}

export function learnFrom(learner: Learner): Disposable {
  const { keeper, log, plan } = learner;
  /** When each generation began to listen. */
  const since = new Map<number, number>();
  return keeper.subscribe((heard) => {
    if (heard.event === "released") since.delete(heard.generation);
    if (heard.event !== "listening") return;
    const now = performance.now();
    const began = since.get(heard.generation) ?? now;
    since.set(heard.generation, began);
    if (!heard.learned) return;
    // What a start needs it opens in the time that a start may take. An abstract name is more often made up by a library than an address of the service.
    const isPassing = now - began > plan.readyTimeoutMs || heard.address.startsWith("unix:@");
    learn(learner, heard, isPassing).catch((error) => {
      log.warn("socket.unlearned", `cannot hold ${heard.address}: ${systemReason(error)}`);
    });
  });
}

async function learn(
  { plan, keeper, supervisor, held }: Learner,
  learned: Learned,
  isPassing: boolean,
): Promise<void> {
  const { address, generation, privatePath } = learned;
  if (held.some((socket) => format(socket.address) === address)) return;
  const names = held.map(({ spec }) => spec.text);
  const spec = parseSpecs([...names, address], "/").at(-1);
  const fd = keeper.takeLearned(learned);
  if (!spec || fd === undefined) return;
  if (
    !isListening(fd) ||
    format(decode(getsockname(fd))) !== (privatePath ? `unix:${privatePath}` : address)
  ) {
    close(fd);
    throw new Error("its socket has another address");
  }
  const [socket] = await holdAll({
    specs: [{ ...spec, isPassing }],
    options: plan.socketOptions,
    cutover: plan.cutover,
    isLearned: true,
    adopt: () => ({ fd, privatePath }),
  });
  if (!socket) return;
  if (!supervisor.learned(generation, socket)) socket.leave();
}
