/**
 * What a start of a generation does: `explain` prints it, a start carries it out. It reads what can change between two generations (the
 * env file, the targets of symlinks) and changes nothing.
 */
import type { SpawnRequest } from "../os/spawn.ts";
import { type HandoverSocket, handOver } from "../sockets/handover.ts";
import { generationEnvironment } from "./environment.ts";
import { pinned } from "./release.ts";
import type { RunPlan } from "./run-plan.ts";

export interface Start {
  generation: number;
  /** Its listeners, in the order of their descriptors. */
  sockets: readonly HandoverSocket[];
  hupwatchPid: number;
  /** Where it may notify hupwatch, sd_notify(3); undefined where no check listens. */
  notifySocket: string | undefined;
}

export interface StartRequest extends Omit<SpawnRequest, "descriptors" | "stdout" | "stderr"> {
  /** The generation's environment without what tells it of its listeners: for the checks that are run beside it. */
  ownEnvironment: Record<string, string>;
  /** The listeners' descriptors are passed, from 3 on. */
  passesDescriptors: boolean;
}

/** Throws HupwatchError where the env file cannot be read or a placeholder cannot be filled. */
export function startRequest(plan: RunPlan, start: Start): StartRequest {
  const { generation, sockets, hupwatchPid, notifySocket } = start;
  const {
    handover: mode,
    passesBesides: besides,
    words,
    serverEnvironment,
    directory,
    user,
    group,
    umask,
  } = plan;
  const ownEnvironment = generationEnvironment(plan, generation, hupwatchPid);
  const handed = handOver({ mode, words, env: serverEnvironment, sockets, besides, generation });
  return {
    argv: pinned(handed.words, directory, plan.releasePaths),
    env: {
      ...ownEnvironment,
      ...handed.env,
      ...(notifySocket === undefined ? {} : { NOTIFY_SOCKET: notifySocket }),
    },
    ownEnvironment,
    cwd: directory,
    passesDescriptors: handed.passesDescriptors,
    listenPid: handed.listenPid,
    dieWithParent: plan.killAtExit,
    ...{ user, group, umask },
  };
}
