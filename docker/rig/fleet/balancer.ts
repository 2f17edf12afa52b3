/** HAProxy in the middle, by the file of fixtures/fleet; and what its log says of a request. */
import { existsSync, readFileSync } from "node:fs";
import { until } from "../../../test/harness/until.ts";
import { run } from "../command.ts";
import { ROOT } from "../places.ts";
import type { Namespace } from "./network.ts";

export const FRONT = "http://127.0.0.1:8000/";
const FIXTURE = `${ROOT}/fixtures/fleet/haproxy/haproxy.cfg`;
/** Debian has it where only root's PATH leads. */
export const HAPROXY = "/usr/sbin/haproxy";

export interface Answered {
  /** The host that got it last. */
  host: string;
  /** Connections that failed before that one. */
  retries: number;
}

/** What starts it: a shell, or hupwatch. */
export type Below = "nothing" | "hupwatch";

export interface Balancer extends AsyncDisposable {
  /** What became of each request, by its id. */
  answers(): Map<string, Answered>;
  /** A swap of HAProxy itself, with this file; only below hupwatch. */
  reload(): Promise<void>;
}

export async function startBalancer(
  middle: Namespace,
  hosts: number,
  place: string,
  below: Below,
): Promise<Balancer> {
  const directory = `${place}/balancer-${below}`;
  await Bun.write(`${directory}/haproxy.cfg`, configFor(hosts));
  const file = `${directory}/haproxy.log`;
  const command = [HAPROXY, "-W", "-f", `${directory}/haproxy.cfg`];
  const launcher = `${ROOT}/src/launcher.sh`;
  const words = below === "nothing" ? command : [launcher, "-k", "-b", ":8000", "--", ...command];
  const env = {
    ...(process.env as Record<string, string>),
    HUPWATCH_BUN: process.execPath,
    XDG_RUNTIME_DIR: directory,
    ...(below === "hupwatch" ? { APP_BIND: "fd@3" } : {}),
  };
  const child = Bun.spawn(middle.inside(words), {
    env,
    cwd: directory,
    stdio: ["ignore", Bun.file(file), Bun.file(file)],
  });
  const log = () => (existsSync(file) ? readFileSync(file, "utf8") : "");
  await until(
    async () => {
      if (child.exitCode !== null) throw new Error(`HAProxy: exit code ${child.exitCode}: ${log()}`);
      const ask = `import urllib.request; urllib.request.urlopen("${FRONT}", timeout=5)`;
      return (await run(middle.inside(["python3", "-c", ask]))).code === 0;
    },
    { what: "HAProxy to answer", everyMs: 100, context: log },
  );
  return {
    answers: () => readAnswers(log()),
    async reload() {
      const done = await run([launcher, "reload", "--run-dir", `${directory}/hupwatch`], { env });
      if (done.code !== 0) throw new Error(`the reload of HAProxy: exit code ${done.code}: ${done.stderr}`);
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await child.exited;
      clearTimeout(force);
    },
  };
}

/** Of the servers those that are there. */
export function configFor(hosts: number): string {
  const lines = readFileSync(FIXTURE, "utf8").split("\n");
  return lines.filter((line) => Number(/^ {2}server host(\d+)/.exec(line)?.[1] ?? 0) <= hosts).join("\n");
}

/** `-- 200 host1 fleet 0+1+1 ms, 0 retries, id {id}`, by the log-format of the file. */
export function readAnswers(log: string): Map<string, Answered> {
  const lines = log.matchAll(/^\S+ -?\d+ (\S+) .* \+?(\d+) retries, id (\S+)$/gm);
  return new Map(
    [...lines].map(([, host = "", retries, id = ""]) => [id, { host, retries: Number(retries) }]),
  );
}
