/**
 * A Docker engine: the one that runs; else, for root on Debian and Ubuntu, one that is installed where it is missing and
 * started here, and then also stopped here. Images stay, so that the next run finds them.
 */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { must, run } from "./command.ts";
import { CACHE } from "./places.ts";

export interface Engine extends AsyncDisposable {
  /** For people. */
  how: string;
}

const START_TIMEOUT_MS = 60_000;

export async function findEngine(say: (line: string) => void): Promise<Engine> {
  const running = await describe();
  if (running) return { how: `the running engine, ${running}`, async [Symbol.asyncDispose]() {} };
  if (process.getuid?.() !== 0)
    throw new Error("no Docker engine answers\nTo fix: start one, or run this as root on Debian or Ubuntu");
  if (!Bun.which("dockerd")) await install(say);
  return start(say);
}

async function describe(): Promise<string | undefined> {
  if (!Bun.which("docker")) return undefined;
  const asked = await run(["docker", "info", "--format", "{{.ServerVersion}} on {{.Driver}}"]);
  return asked.code === 0 && /^\d/.test(asked.stdout) ? asked.stdout.trim() : undefined;
}

async function install(say: (line: string) => void): Promise<void> {
  if (!Bun.which("apt-get"))
    throw new Error("no Docker engine and no apt-get to install one\nTo fix: install Docker and start it");
  say("installs docker.io");
  const apt = ["apt-get", "--yes", "--quiet", "--no-install-recommends"];
  const limits = { timeoutMs: 600_000, env: { DEBIAN_FRONTEND: "noninteractive" } };
  // The lists may be too old for the mirror, or not there at all.
  if ((await run([...apt, "install", "docker.io"], limits)).code === 0) return;
  await must([...apt, "update"], limits);
  await must([...apt, "install", "docker.io"], limits);
}

async function start(say: (line: string) => void): Promise<Engine> {
  mkdirSync(CACHE, { recursive: true });
  const log = openSync(`${CACHE}/dockerd.log`, "w");
  const daemon = Bun.spawn(["dockerd"], { stdio: ["ignore", log, log], detached: true });
  closeSync(log);
  say(`starts dockerd (pid ${daemon.pid}, log in .cache/rig/dockerd.log)`);
  const deadline = Date.now() + START_TIMEOUT_MS;
  let description = await describe();
  while (!description) {
    if (daemon.exitCode !== null || Date.now() > deadline)
      throw new Error("dockerd does not come up\nTo fix: read .cache/rig/dockerd.log");
    await Bun.sleep(300);
    description = await describe();
  }
  return {
    how: `an engine of its own, ${description}`,
    async [Symbol.asyncDispose]() {
      daemon.kill("SIGTERM");
      await daemon.exited;
    },
  };
}
