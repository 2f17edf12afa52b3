/**
 * A real nginx between the load and the server, as people run it: `upstream` with kept connections, and nothing else changed.
 * A connection that nginx keeps outlives requests and swaps, and what it makes of one that is closed is its own (502).
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HupwatchError } from "../error.ts";
import type { Address } from "../load/target.ts";
import { signalledWhenWeDie } from "../os/setpriv.ts";

const KEPT = 32;
const START_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 20;

export class NginxFront implements AsyncDisposable {
  /** `unix:/path`, to be loaded in place of the server. */
  readonly target: string;

  private constructor(
    folder: string,
    private readonly process: Bun.Subprocess,
  ) {
    this.target = `unix:${socketIn(folder)}`;
  }

  /** `folder`: an empty one of its own. Throws with exit code 3. */
  static async start(folder: string, backend: Address): Promise<NginxFront> {
    const nginx = Bun.which("nginx");
    if (nginx === null)
      throw setUp("--front nginx, and nginx is not on PATH", "install it, or leave out --front");
    chmodSync(folder, 0o755);
    const configuration = join(folder, "nginx.conf");
    writeFileSync(configuration, configurationFor(folder, backend));
    const words = [nginx, "-p", folder, "-c", configuration, "-e", join(folder, "error.log")];
    const process = Bun.spawn(signalledWhenWeDie("QUIT", words), {
      stdio: ["ignore", "ignore", "ignore"],
      detached: true,
    });
    const front = new NginxFront(folder, process);
    try {
      await front.#serving(folder);
      return front;
    } catch (error) {
      await front[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #serving(folder: string): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await answers(socketIn(folder)))) {
      if (this.process.exitCode === null && performance.now() < deadline) {
        await Bun.sleep(LOOK_EVERY_MS);
        continue;
      }
      const said = readFileSync(join(folder, "error.log"), "utf8").trim().split("\n").slice(-3).join("\n  ");
      throw setUp(`nginx does not start:\n  ${said}`, "see its output above");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGTERM");
    await this.process.exited;
  }
}

const socketIn = (folder: string) => join(folder, "front.sock");

const setUp = (message: string, hint: string) =>
  new HupwatchError("verify.front", message, { exitCode: 3, hint });

async function answers(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch {
    return false;
  }
}

function configurationFor(folder: string, backend: Address): string {
  const server =
    backend.kind === "unix" ? `unix:${backend.path}` : `${bracketed(backend.hostname)}:${backend.port}`;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `daemon off;
worker_processes 1;
pid nginx.pid;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 4096; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}
  client_max_body_size 0;
  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
  upstream app { server ${server}; keepalive ${KEPT}; }
  server {
    listen unix:${socketIn(folder)} backlog=4096;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}
`;
}

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);
