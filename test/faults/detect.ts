/** Runs one fault of the table against the load generator and says what was found. */
import { startLoad } from "../../src/load/engine.ts";
import { type Kind, makePlan } from "../../src/load/plan.ts";
import type { LoadResult } from "../../src/load/result.ts";
import { parseTarget } from "../../src/load/target.ts";
import { type ClientFault, ClientFaultServer } from "./clients.ts";
import type { FaultCase } from "./faults.ts";
import { type ListenerFault, Scene } from "./listeners.ts";
import { FaultServer, type Transport } from "./server.ts";

export interface Detection {
  injected: number;
  /** Under the right class, phase and errno. */
  found: number;
  result: LoadResult;
  /** What the server got. */
  received: string[];
}

const REQUESTS = 60;
const EVERY = 10;

export async function detect(fault: FaultCase, transport: Transport, kind: Kind): Promise<Detection> {
  using server = new FaultServer(transport, fault.fault, EVERY);
  const plan = makePlan(parseTarget(server.target, "/"), {
    mode: kind,
    // One at a time: which answer is the n-th, and which version was first, is then no accident.
    connections: 1,
    requests: REQUESTS,
    timeoutMs: fault.timeoutMs ?? 5000,
    uploadBytes: 100_000,
    staleIsFailure: true,
  });
  const result = await startLoad(plan).done;
  return { injected: server.injected, found: countOf(result, fault), result, received: server.received };
}

/** The same for a fault of the listener: every request must meet it. */
export async function detectAtListener(fault: ListenerFault): Promise<Omit<Detection, "received">> {
  using scene = new Scene();
  const { target, strike } = fault.arrange(scene);
  const requests = fault.timeoutMs ? 3 : 8;
  const plan = makePlan(parseTarget(target, "/"), {
    mode: "fresh",
    connections: requests,
    requests,
    timeoutMs: fault.timeoutMs ?? 5000,
  });
  let struck = false;
  const run = startLoad(plan, {
    tickMs: 5,
    onTick: ({ inFlight }) => {
      if (struck || !strike || inFlight < requests) return;
      struck = true;
      strike();
    },
  });
  const result = await run.done;
  return { injected: requests, found: countOf(result, fault), result };
}

/** The same for clients that take their time: every one must meet it, or none where the server is good to them. */
export async function detectByClients(fault: ClientFault, transport: Transport): Promise<LoadResult> {
  using server = new ClientFaultServer(transport, fault);
  const plan = makePlan(parseTarget(server.target, "/"), {
    // More than there are bodies: what is half sent must not change when another one begins.
    ...{ mode: fault.kind, connections: 8, requests: 8, timeoutMs: 5000 },
    // A machine that pauses must not let the client speak, or leave, before it hears of what the server did meanwhile.
    lingerMs: fault.found ? 600 : 150,
  });
  return await startLoad(plan).done;
}

const countOf = (result: LoadResult, wanted: Pick<FaultCase, "class" | "phase" | "errno">): number =>
  result.failures
    .filter((f) => f.class === wanted.class && f.phase === wanted.phase && f.errno === wanted.errno)
    .reduce((sum, f) => sum + f.count, 0);
