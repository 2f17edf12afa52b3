/** What is asked before the load, of a service that does not swap yet: what fails now would prove nothing about a swap. */
import { HupwatchError } from "../error.ts";
import { startLoad } from "../load/engine.ts";
import { lingers, MANNERS } from "../load/manners.ts";
import { type Mode, makePlan } from "../load/plan.ts";
import type { LoadResult } from "../load/result.ts";
import { parseTarget, type Target } from "../load/target.ts";
import type { VerifyPlan } from "./plan.ts";

const LINGER_MS = 200;

export class Probes {
  /** In the ledger they are, too. */
  readonly results: LoadResult[] = [];

  constructor(
    private readonly plan: VerifyPlan,
    private readonly target: string,
  ) {}

  /** A server that does not even answer now has nothing that a swap could drop. */
  async assertAnswers(): Promise<void> {
    const [failure] = (await this.#probe("fresh", this.target)).failureRecords;
    if (!failure) return;
    const { class: name, detail, errno } = failure;
    const why = [name, errno, detail].filter((word) => word !== undefined).join(", ");
    throw new HupwatchError("verify.no-answer", `before any swap a GET of ${this.target} failed: ${why}`, {
      exitCode: 3,
      hint:
        name === "bad-status"
          ? "name a path that is answered with 200: --url /healthz"
          : "see that the server answers, e.g. with 'hupwatch load -n 1 TARGET'",
    });
  }

  /** One POST tells whether the app keeps the contract. */
  async offeredModes(): Promise<Mode[]> {
    const { ok } = await this.#probe("post", {
      ...parseTarget(this.target, process.cwd()),
      url: "/",
    });
    return ok === 1 ? ["fresh", "keepalive", "post"] : ["fresh", "keepalive"];
  }

  /** A client that is not served without a swap either would prove nothing about one. */
  async assertServed(modes: readonly Mode[]): Promise<void> {
    for (const mode of modes) {
      if (mode === "mix" || !(lingers(MANNERS[mode]) || MANNERS[mode].halfCloses)) continue;
      const target = { ...parseTarget(this.target, process.cwd()), url: "/" };
      const [failure] = (await this.#probe(mode, target)).failureRecords;
      if (!failure) continue;
      const why = [failure.class, failure.detail].filter((word) => word !== undefined).join(", ");
      throw new HupwatchError(
        "verify.not-served",
        `before any swap a client of --mode ${mode} failed: ${why}`,
        {
          exitCode: 3,
          hint: `leave out ${mode}, or have the app serve it (what it asks for: 'hupwatch load --help')`,
        },
      );
    }
  }

  async #probe(mode: Mode, at: string | Target): Promise<LoadResult> {
    const target = typeof at === "string" ? parseTarget(at, process.cwd()) : at;
    const { timeoutMs, websocketUrl } = this.plan;
    const plan = makePlan(target, {
      ...{ mode, requests: 1, connections: 1, timeoutMs, websocketUrl, lingerMs: LINGER_MS },
    });
    const result = await startLoad(plan).done;
    this.results.push(result);
    return result;
  }
}
