/**
 * A Docker engine: the one that runs; else, for root on Debian and Ubuntu, one that is installed where it is missing and
 * started here, and then also stopped here. Images stay, so that the next run finds them.
 */
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { aptInstall, canInstall } from "../../test/setup/apt.ts";
import { run } from "./command.ts";
import { CACHE } from "./places.ts";

export interface Engine extends AsyncDisposable {
  /** For people. */
  how: string;
}

/** There is nothing to try the grid with. No fault of what is to be tried. */
export class NothingToTryWith extends Error {}

const START_TIMEOUT_MS = 60_000;
const LOG = `${CACHE}/dockerd.log`;

export async function findEngine(say: (line: string) => void): Promise<Engine> {
  const running = await ask();
  if (running.version)
    return { how: `the running engine, ${running.version}`, async [Symbol.asyncDispose]() {} };
  const { DOCKER_HOST } = process.env;
  if (DOCKER_HOST)
    throw new Error(
      `no Docker engine answers at DOCKER_HOST=${DOCKER_HOST}: ${running.why}\nTo fix: start that one, or unset it`,
    );
  if (process.getuid?.() !== 0)
    throw new Error(
      `no Docker engine answers: ${running.why}\nTo fix: start one that this user may use, or run this as root on Debian or Ubuntu`,
    );
  if (!Bun.which("dockerd")) install(say);
  return start(say);
}

/** Its version, or why there is none. */
async function ask(): Promise<{ version?: string; why: string }> {
  if (!Bun.which("docker")) return { why: "docker is not installed" };
  // Not `docker info`, which answers without an engine, too, and in some versions with code 0.
  const asked = await run(["docker", "version", "--format", "{{.Server.Version}}"]);
  if (asked.code !== 0) return { why: asked.stderr.trim().split("\n").at(-1) ?? "" };
  const driver = await run(["docker", "info", "--format", "{{.Driver}}"]);
  return { version: `${asked.stdout.trim()} on ${driver.stdout.trim()}`, why: "" };
}

function install(say: (line: string) => void): void {
  if (!canInstall())
    throw new Error("no Docker engine, and no apt-get to install one\nTo fix: install Docker and start it");
  say("installs docker.io");
  if (!aptInstall(["docker.io"]))
    throw new Error("docker.io cannot be installed\nTo fix: install Docker and start it");
}

async function start(say: (line: string) => void): Promise<Engine> {
  mkdirSync(CACHE, { recursive: true });
  const log = openSync(LOG, "w");
  const daemon = Bun.spawn(["dockerd"], { stdio: ["ignore", log, log], detached: true });
  closeSync(log);
  say(`starts dockerd (pid ${daemon.pid}, log in ${LOG})`);
  const deadline = Date.now() + START_TIMEOUT_MS;
  let answer = await ask();
  while (!answer.version) {
    if (daemon.exitCode !== null || Date.now() > deadline) {
      daemon.kill("SIGTERM");
      throw new Error(
        `dockerd does not come up\n${lastLines(LOG)}\nTo fix: see ${LOG}; in a container it needs --privileged`,
      );
    }
    await Bun.sleep(300);
    answer = await ask();
  }
  return {
    how: `an engine of its own, ${answer.version}`,
    async [Symbol.asyncDispose]() {
      daemon.kill("SIGTERM");
      await daemon.exited;
    },
  };
}

const lastLines = (file: string): string =>
  readFileSync(file, "utf8").trimEnd().split("\n").slice(-5).join("\n");
