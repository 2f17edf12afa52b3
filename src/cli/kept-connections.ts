/** Kept connections as a run needs them: the code of kept/ is loaded, and its relay started, only when there is one to keep. */

import { isKilledByTaking } from "../intercept/own-program.ts";
import type { OwnLimit } from "../kept/own-limit.ts";
import type { RelayLink } from "../kept/relay-link.ts";
import { lacks, tellBug } from "../os/aid.ts";
import { type Keeping, type KeepingOwner, type Kept, NO_COUNTS, type RelayCounts } from "../os/keeping.ts";
import { type Os, realOs } from "../os/os.ts";
import { keptInWords, patienceOf, RECIPE, waysKept } from "../plan/kept-connections.ts";
import { proxyProtocolIn } from "../plan/proxy-protocol.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { inSandbox, isTakingRefused } from "./sandbox.ts";

export interface KeptConnections extends Disposable {
  /** The same system, in which connections outlive their generation if the plan wants that. */
  over(os: Os): Os;
  /** The relay's connections; undefined if connections are not kept, or if with `auto` there was none to keep. */
  counts: (() => RelayCounts | undefined) | undefined;
  /** For a person. */
  inWords(): string;
  /** The service has ended. */
  end(): void;
}

const REFUSED = {
  what: "duplicating a server's connection (pidfd_getfd)",
  loss: `connections that clients keep are closed at a swap; ${RECIPE}`,
};

export function keptConnections(plan: RunPlan): KeptConnections {
  const { keptConnections: mode } = plan;
  let isRefused: boolean | undefined;
  let relay: RelayLink | undefined;
  let limit: OwnLimit | undefined;
  /** At the first socket, where every generation has the same app. */
  const isHeard = { http: false, other: false };
  const living = new Set<Lazy>();
  const adopt = async (os: Os, owner: KeepingOwner): Promise<Keeping> => {
    const { Adoption, OwnLimit, RelayLink, relayProgram } = await rooms();
    limit ??= new OwnLimit();
    relay ??= new RelayLink(relayProgram());
    const { clock, takeDescriptor, isRunning } = os;
    // `auto` promises nothing.
    const refused = (connections: number) => {
      isRefused = true;
      if (mode !== "auto") lacks(REFUSED, `refused for ${connections}`);
    };
    return new Adoption(owner, {
      clock,
      relay,
      takeDescriptor,
      isRunning,
      limit,
      isAnyPeer: mode === "adopt=any",
      isSpeechSure: () => mode !== "auto" || owner.isHttp || isHeard.http,
      isMixed: () => mode === "auto" && isHeard.other,
      heard: (speech) => {
        isHeard[speech] = true;
      },
      patienceMs: patienceOf(mode),
      refused,
    });
  };
  return {
    over(os) {
      if (mode === "close") return os;
      const safe = inSandbox(os, isKilledByTaking, mode === "auto" ? () => {} : undefined);
      return {
        ...os,
        spawn: (request) => (limit ? limit.withGiven(() => os.spawn(request)) : os.spawn(request)),
        keepConnections(owner) {
          const ways = waysKept(mode, owner.ways, () => proxyProtocolIn(plan) !== undefined);
          if (mode === "auto" && isHeard.other && !isHeard.http && !owner.isHttp) return undefined;
          return ways.length === 0 ? undefined : new Lazy(() => adopt(safe, { ...owner, ways }), living);
        },
      };
    },
    counts: mode === "close" ? undefined : () => relay?.counts ?? (mode === "auto" ? undefined : NO_COUNTS),
    inWords: () =>
      keptInWords(plan, {
        isRefused: () => (isRefused ??= isTakingRefused(realOs, isKilledByTaking)),
        firstLine: () => proxyProtocolIn(plan),
      }),
    end: () => relay?.end(),
    [Symbol.dispose]() {
      for (const keeping of living) keeping[Symbol.dispose]();
      relay?.[Symbol.dispose]();
    },
  };
}

const rooms = async () => ({
  ...(await import("../kept/adoption.ts")),
  ...(await import("../kept/own-limit.ts")),
  ...(await import("../kept/relay-link.ts")),
  ...(await import("../intercept/programs.ts")),
});

/** If the generation ends before the code is loaded, there is nothing to keep. */
class Lazy implements Keeping {
  #keeping: Keeping | undefined;
  #isOver = false;

  constructor(
    private readonly load: () => Promise<Keeping>,
    /** Those that have not finished. */
    private readonly living: Set<Lazy>,
  ) {
    living.add(this);
  }

  begin(then: () => void, goesOn?: () => void): void {
    void this.load().then(
      (keeping) => {
        if (this.#isOver) return then();
        this.#keeping = keeping;
        keeping.begin(then, goesOn);
      },
      (bug) => {
        tellBug(bug);
        then();
      },
    );
  }

  ended(isCrash: boolean): void {
    this.#isOver ||= this.#keeping === undefined;
    this.#keeping?.ended(isCrash);
  }

  finish(): Kept {
    this.living.delete(this);
    return this.#keeping?.finish() ?? { kept: 0, closed: 0, others: 0 };
  }
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#keeping?.[Symbol.dispose]();
  }
}
