/**
 * A fleet for one run: hosts, a balancer before them, a deployer and load, all in namespaces of their own on this machine. Owns
 * them and the releases; scenes.ts says what happens to it.
 */
import { existsSync } from "node:fs";
import { type TempDir, tempDir } from "../../../test/harness/temp-dir.ts";
import type { Extra } from "../grid.ts";
import { type Balancer, HAPROXY, startBalancer } from "./balancer.ts";
import type { Deployer, EngineOf } from "./engine.ts";
import { type Host, startHost } from "./host.ts";
import { startLoad } from "./load.ts";
import { type Namespace, startMiddle } from "./network.ts";
import { type Broken, makeRelease, packRelease } from "./release.ts";
import type { Act } from "./scenes.ts";
import { loadFaults, type Scene, verdictLine } from "./verdict.ts";

type Say = (line: string) => void;

/** With Debian's package, where its name is another. */
const NEEDS: Readonly<Record<string, string>> = {
  "ansible-playbook": "ansible-core",
  "/usr/sbin/sshd": "openssh-server",
  ssh: "openssh-client",
  [HAPROXY]: "haproxy",
  supervisord: "supervisor",
  gunicorn: "gunicorn",
  tini: "tini",
  ip: "iproute2",
};

/** Why there can be no fleet here; undefined where there can. */
export function whyNoFleet(): string | undefined {
  if (process.getuid?.() !== 0) return "a fleet needs root, for its namespaces";
  const missing = Object.keys(NEEDS).filter((program) =>
    program.startsWith("/") ? !existsSync(program) : !Bun.which(program),
  );
  if (missing.length > 0)
    return `${missing.join(", ")} not installed (apt-get install ${missing.map((name) => NEEDS[name]).join(" ")})`;
  const tried = Bun.spawnSync([
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--uts",
    "--fork",
    "--mount-proc",
    "sh",
    "-ec",
    TRIAL,
  ]);
  return tried.success
    ? undefined
    : `no namespaces with a bridge can be made here: ${`${tried.stderr}`.trim().split("\n").at(-1)}`;
}

const TRIAL =
  "mount -t tmpfs tmpfs /run; ip link add br0 type bridge; ip link add one type veth peer name other";

/** Of an Ansible `serial`. */
const FIRST_BATCH = 1;
const FURTHER_SHARE = 0.25;

export class Fleet implements AsyncDisposable {
  #newest = 1;
  #serves = "1";

  private constructor(
    readonly hosts: readonly Host[],
    readonly middle: Namespace,
    readonly deploy: Deployer,
    private readonly dir: TempDir,
    private readonly stack: AsyncDisposableStack,
    public balancer: Balancer,
  ) {}

  static async start(count: number, engineOf: EngineOf): Promise<Fleet> {
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(tempDir());
    const middle = stack.use(await startMiddle(`${dir.path}/middle.log`));
    makeRelease(`${dir.path}/releases/1`, "1");
    await packRelease(`${dir.path}/releases`, "1");
    const engine = await engineOf({ middle, place: dir.path, hosts: count });
    const numbers = Array.from({ length: count }, (_, i) => i + 1);
    const starting = numbers.map(async (number) =>
      stack.use(await startHost(number, middle, dir.path, engine.equip)),
    );
    const hosts = await all(starting);
    const deploy = await engine.begin();
    await all(hosts.map((host) => host.untilServes()));
    const balancer = await startBalancer(middle, count, dir.path, "nothing");
    return new Fleet(hosts, middle, deploy, dir, stack.move(), balancer);
  }

  /** The next one, and what serves before it. */
  async newRelease(broken: Broken = "nowhere"): Promise<{ release: string; before: string }> {
    this.#newest++;
    const release = `${this.#newest}`;
    const releases = `${this.dir.path}/releases`;
    makeRelease(`${releases}/${release}`, release, broken);
    await packRelease(releases, release);
    return { release, before: this.#serves };
  }

  /** What all hosts serve from now on. */
  settle(release: string): void {
    this.#serves = release;
  }

  /** The hosts before the batch of this one, and those of that batch, by their numbers. */
  batches(number: number): [before: number[], same: number[]] {
    const size = Math.max(1, Math.floor(this.hosts.length * FURTHER_SHARE));
    const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
    let [from, to] = [1, 1 + FIRST_BATCH];
    while (to <= number) [from, to] = [to, to + size];
    return [range(1, from), range(from, Math.min(to, this.hosts.length + 1))];
  }

  /** One scene under load. */
  async play(act: Act): Promise<Extra["outcome"]> {
    if (act.balancer) {
      await this.balancer[Symbol.asyncDispose]();
      this.balancer = await startBalancer(this.middle, this.hosts.length, this.dir.path, act.balancer);
    }
    const before = await Promise.all(this.hosts.map((host) => host.look()));
    const load = await startLoad(this.middle);
    const acted = await act.act(this);
    await Bun.sleep(AFTERWARDS_MS);
    const loads = await load.end();
    const alive = this.hosts.filter(({ name }) => name !== acted.death?.host);
    const after = await Promise.all(alive.map((host) => host.look()));
    const scene: Scene = { loads, answers: this.#answersOf(loads), before, after };
    if (acted.death) scene.death = acted.death;
    const faults = [...loadFaults(scene), ...acted.faults(scene)];
    this.settle(after.at(-1)?.serves ?? "");
    if (faults.length > 0) return { kind: "red", faults };
    const said = [`${verdictLine(scene)}; ${acted.said}`, ...acted.deploy.recap].join("\n");
    return { kind: "green", said };
  }

  /** Of this load alone: the log has those of earlier scenes, too. */
  #answersOf(loads: Scene["loads"]): Scene["answers"] {
    const prefixes = loads.map(({ ids }) => ids.prefix);
    const own = [...this.balancer.answers()].filter(([id]) =>
      prefixes.some((prefix) => id.startsWith(prefix)),
    );
    return new Map(own);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.balancer[Symbol.asyncDispose]();
    await this.stack[Symbol.asyncDispose]();
  }
}

/** All of them have ended before what they stand on does, also where one fails. */
async function all<T>(promises: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

/** Load goes on for a while after a deploy. */
const AFTERWARDS_MS = 1000;

/** A fleet for these scenes, each of which begins with what the one before has left. */
export interface Programme {
  engine: string;
  engineOf: EngineOf;
  hosts: number;
  acts: readonly Act[];
}

export async function playScenes(programme: Programme, say: Say): Promise<Extra[]> {
  const { engine, engineOf, hosts, acts } = programme;
  const named = (act: Act) => `${engine}, ${hosts} hosts: ${act.name}`;
  const why = whyNoFleet();
  if (why !== undefined) return acts.map((act) => ({ name: named(act), outcome: { kind: "skipped", why } }));
  await using fleet = await Fleet.start(hosts, engineOf);
  const breakOff = async (signal: string) => {
    say(`broken off by ${signal}`);
    await fleet[Symbol.asyncDispose]();
    process.exit(130);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => breakOff(signal));
  say(`${engine}: ${hosts} hosts and HAProxy are up`);
  const played: Extra[] = [];
  for (const act of acts) {
    const outcome = await fleet.play(act);
    say(`${named(act)}: ${outcome.kind}`);
    if (outcome.kind === "red") say(outcome.faults.join("\n"));
    played.push({ name: named(act), outcome });
  }
  return played;
}
