/**
 * Docker Swarm of one node, by the stack of fixtures/fleet: an engine of its own in a namespace of its own, so that the one of this
 * machine joins nothing. `hupwatch verify` judges a reload inside the tasks, and beside it Swarm's own update.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tempDir } from "../../../test/harness/temp-dir.ts";
import { until } from "../../../test/harness/until.ts";
import { build } from "../../release/build.ts";
import { baseImage } from "../base-image.ts";
import { must, run } from "../command.ts";
import { findEngine } from "../engine.ts";
import type { Extra } from "../grid.ts";
import { hostSettings } from "../host-settings.ts";
import { buildImage, imageOf } from "../images.ts";
import { ROOT } from "../places.ts";
import { configFor, HAPROXY } from "./balancer.ts";
import { type Namespace, startNamespace } from "./network.ts";

type Say = (line: string) => void;

const NAME = "Swarm: hupwatch reload in two tasks, judged by verify";
const FIXTURES = `${ROOT}/fixtures/fleet/swarm`;
const SWAPS = 2;
/** As Docker numbers containers on the first network that is made; tasks that end leave theirs free only in time. */
const TASKS = Array.from({ length: 30 }, (_, i) => `172.18.0.${i + 2}`);
const BOOT_TIMEOUT_MS = 180_000;
const VERIFY_TIMEOUT_MS = 400_000;

export async function trySwarm(say: Say): Promise<Extra> {
  using dir = tempDir();
  try {
    await saveImage(`${dir.path}/image.tar`, say);
  } catch (error) {
    const why = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    return { name: NAME, outcome: { kind: "skipped", why } };
  }
  await using swarm = await Swarm.start(dir.path);
  await swarm.deploy();
  say("Swarm: two tasks are up");
  const inPlace = await swarm.verify(`${FIXTURES}/reload.sh`);
  say(`Swarm, in place: ${inPlace.verdict}`);
  if (inPlace.code !== 0) return { name: NAME, outcome: { kind: "red", faults: [inPlace.text] } };
  // Not hupwatch's to promise: for comparison.
  const update = await swarm.verify("docker service update --quiet --force app_app");
  const said = `${inPlace.verdict}\ndocker service update, start-first, for comparison: ${update.verdict}`;
  return { name: NAME, outcome: { kind: "green", said } };
}

/** hupwatch with gunicorn, built by this machine's engine, which reaches a mirror. */
async function saveImage(file: string, say: Say): Promise<void> {
  await using _engine = await findEngine(say);
  const settings = await hostSettings();
  const base = await baseImage("bookworm", settings, say);
  await build();
  await buildImage("gunicorn", { BASE: base.tag }, settings);
  await must(["docker", "save", "--output", file, imageOf("gunicorn")], { timeoutMs: VERIFY_TIMEOUT_MS });
}

interface Verified {
  code: number;
  verdict: string;
  text: string;
}

class Swarm implements AsyncDisposable {
  private constructor(
    private readonly place: string,
    private readonly namespace: Namespace,
  ) {}

  static async start(place: string): Promise<Swarm> {
    mkdirSync(`${place}/srv/release`, { recursive: true });
    const engine = [
      "--data-root",
      `${place}/data`,
      "--exec-root",
      "/run/docker",
      "--pidfile",
      "/run/docker.pid",
    ];
    const script = [
      ...["mount -t tmpfs tmpfs /run", `mount --bind ${place}/srv /srv`, "ip link set lo up"],
      ...["ip link add br0 type bridge", "ip address add 10.0.0.1/24 dev br0", "ip link set br0 up"],
      `exec dockerd ${engine.join(" ")} -H unix://${place}/docker.sock`,
    ].join("; ");
    const swarm = new Swarm(place, await startNamespace(script, {}, `${place}/dockerd.log`));
    try {
      await until(async () => (await run(swarm.#inside(["docker", "version"]))).code === 0, {
        ...{ what: "dockerd", timeoutMs: BOOT_TIMEOUT_MS, everyMs: 300 },
        context: () => readFileSync(`${place}/dockerd.log`, "utf8").slice(-2000),
      });
    } catch (error) {
      await swarm[Symbol.asyncDispose]();
      throw error;
    }
    return swarm;
  }

  #inside(words: readonly string[]): string[] {
    const { place } = this;
    const variables = [`DOCKER_HOST=unix://${place}/docker.sock`, `HUPWATCH_BUN=${process.execPath}`];
    return this.namespace.inside(["env", ...variables, ...words]);
  }

  #docker(...words: string[]): Promise<string> {
    return must(this.#inside(["docker", ...words]), { timeoutMs: VERIFY_TIMEOUT_MS });
  }

  /** Two tasks, and HAProxy before them, which finds them by its checks. */
  async deploy(): Promise<void> {
    const { place } = this;
    copyFileSync(`${ROOT}/fixtures/apps/wsgi.py`, `${place}/srv/release/wsgi.py`);
    writeFileSync(`${place}/srv/release/VERSION`, "0\n");
    await this.#docker("load", "--quiet", "--input", `${place}/image.tar`);
    await this.#docker("tag", imageOf("gunicorn"), "my-gunicorn");
    await this.#docker("swarm", "init", "--advertise-addr", "10.0.0.1");
    // On one node a bridge does what an overlay does on many.
    await this.#docker("network", "create", "--scope", "swarm", "--driver", "bridge", "--attachable", "app");
    await this.#docker("stack", "deploy", "--compose-file", `${FIXTURES}/stack.yml`, "app");
    writeFileSync(`${place}/haproxy.cfg`, configOf(TASKS));
    const log = Bun.file(`${place}/haproxy.log`);
    Bun.spawn(this.namespace.within([HAPROXY, "-f", `${place}/haproxy.cfg`]), {
      stdio: ["ignore", log, log],
    });
    const running = async () => (await this.#docker("service", "ls", "--format", "{{.Replicas}}")).trim();
    await until(async () => (await running()) === "2/2", {
      ...{ what: "two healthy tasks", timeoutMs: BOOT_TIMEOUT_MS, everyMs: 500 },
      context: () => readFileSync(`${place}/dockerd.log`, "utf8").slice(-2000),
    });
  }

  async verify(reload: string): Promise<Verified> {
    const release = `echo $VERIFY_SWAP > ${this.place}/srv/release/VERSION && ${reload}`;
    const options = [
      "--swaps",
      `${SWAPS}`,
      "--mode",
      "fresh",
      "--rate",
      "50",
      "--burst",
      "0",
      "--swap-timeout",
      "120s",
    ];
    const words = [`${ROOT}/src/launcher.sh`, "verify", "--quiet", ...options, "--target", "127.0.0.1:8000"];
    const done = await run(this.#inside([...words, "--reload", release]), { timeoutMs: VERIFY_TIMEOUT_MS });
    const text = `${done.stdout}${done.stderr}`.trimEnd();
    return { code: done.code, verdict: text.split("\n").at(-1) ?? "", text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.namespace[Symbol.asyncDispose]();
  }
}

/** The balancer's file with these servers; most of them are not there. */
const configOf = (addresses: readonly string[]): string =>
  [configFor(0).trimEnd(), ...addresses.map((address, i) => `  server task${i} ${address}:8000`), ""].join(
    "\n",
  );
