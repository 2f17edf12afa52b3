/**
 * One turn of one rival: starts it, has `hupwatch verify --target … --reload …` judge it, and ends all that it started. The
 * judge knows nothing of what it judges: today's hupwatch is judged as the others are.
 */
import { existsSync, openSync, readFileSync } from "node:fs";
import { Place } from "../../../fixtures/demo/place.ts";
import { processOf } from "../../../src/os/procfs.ts";
import { placeIn } from "../../harness/contract.ts";
import { until } from "../../harness/until.ts";
import type { Rival, Site } from "./rival.ts";
import { type Seen, seenIn } from "./seen.ts";

export interface Pace {
  swaps: number;
  /** Requests a second of each mode. */
  rate: number;
  /** Default: fresh connections, kept ones and, where the app takes them, POSTs. */
  modes?: string;
  /** Between two swaps; what is steady is measured in it. Default 2 s. */
  every?: string;
}

/** A swap that takes longer has failed. */
const SWAP_TIMEOUT = "40s";
const ALL_MODES = "fresh,keepalive,post";
const SETTLE = "500ms";
const EVERY = "2s";
/** Nothing is in flight any more. */
const STOP_MS = 40_000;

/** Throws where it does not serve, or cannot be judged; `signal` ends it. `launcher`: of the judge, and of the hupwatch that is judged. */
export async function judged(
  rival: Rival,
  pace: Pace,
  launcher: string,
  signal = new AbortController().signal,
): Promise<Seen> {
  using place = new Place();
  const laid = await placeIn(place.path, rival.transport);
  const site: Site = { ...laid, launcher, port: Number(/\d+$/.exec(laid.at)?.[0] ?? 0) };
  await Bun.write(`${site.directory}/VERSION`, "0\n");
  await rival.prepare?.(site);
  const ledger = `${site.directory}/ledger`;
  const env = place.environment({
    ...{ HUPWATCH_BUN: process.execPath, VERIFY_LEDGER: ledger, PWD: site.directory },
    ...rival.env?.(site),
  });
  await using _service = await startService(rival, site, env);
  const words = [
    ...["-q", "--json", `${place.path}/report.json`, "--ledger", ledger],
    ...["--target", targetOf(site), "--reload", reloadOf(rival, site), "--ready-cmd", overOf(rival, site)],
    ...[
      "--settle",
      SETTLE,
      "--every",
      pace.every ?? EVERY,
      "--swap-timeout",
      SWAP_TIMEOUT,
      "--mode",
      pace.modes ?? rival.modes ?? ALL_MODES,
    ],
    ...["--swaps", String(pace.swaps), "--rate", String(pace.rate)],
  ];
  const judge = Bun.spawn([launcher, "verify", ...words], { env, stdout: "ignore", stderr: "pipe", signal });
  const [said, code] = [await judge.stderr.text(), await judge.exited];
  signal.throwIfAborted();
  const file = Bun.file(`${place.path}/report.json`);
  if (!(await file.exists())) throw new Error(`verify ended with code ${code}: ${said.trim()}`);
  const root = rootOf(rival, site);
  return seenIn(await file.json(), rival.wraps && root ? rssKbOf(root) : undefined);
}

const targetOf = ({ transport, at }: Site): string => (transport === "unix" ? `unix:${at}` : at);

/** Serves; disposing of it ends it and what it started. */
async function startService(rival: Rival, site: Site, env: NodeJS.Dict<string>): Promise<AsyncDisposable> {
  const log = openSync(`${site.directory}/log`, "w");
  const child = Bun.spawn(rival.command(site), {
    ...{ cwd: site.directory, env, stdio: ["ignore", log, log], detached: true },
  });
  await Bun.write(`${site.directory}/command.pid`, String(child.pid));
  const service = {
    async [Symbol.asyncDispose]() {
      // What hupwatch started has sessions of its own, and it ends them in good order. Others have one, which is ended whole.
      if (rival.isHupwatch) {
        child.kill("SIGQUIT");
        const limit = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
        await child.exited;
        clearTimeout(limit);
      }
      endGroup(child.pid);
      await child.exited;
    },
  };
  try {
    const context = () => readFileSync(`${site.directory}/log`, "utf8").slice(-2000);
    const what = `${rival.name} to serve ${rival.server}`;
    await until(() => answers(site), { what, context, timeoutMs: 60_000, everyMs: 50 });
    await until(() => rootOf(rival, site), { what: `the pid file of ${rival.name}`, context });
    return service;
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It is over.
  }
}

async function answers({ transport, at }: Site): Promise<boolean> {
  const unix = transport === "unix" ? { unix: at } : {};
  try {
    const answer = await fetch(`http://${transport === "unix" ? "app" : at}/`, {
      ...unix,
      ...{ headers: { Connection: "close" }, signal: AbortSignal.timeout(5000) },
    });
    return answer.ok && (await answer.text()) !== "";
  } catch {
    return false;
  }
}

const rootFileOf = (rival: Rival, site: Site): string =>
  rival.rootFile?.(site) ?? `${site.directory}/command.pid`;

function rootOf(rival: Rival, site: Site): number | undefined {
  const file = rootFileOf(rival, site);
  const pid = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  return processOf(pid) && pid;
}

/** The children are noted first: they are the ones to be replaced. */
const reloadOf = (rival: Rival, site: Site): string => `cd ${site.directory}
export ROOT=$(cat ${rootFileOf(rival, site)})
echo $ROOT > root
cat /proc/$ROOT/task/*/children > old
echo $VERIFY_SWAP > VERSION
${rival.reload(site)}`;

/** Python's multiprocessing has a process for its bookkeeping, which stays; so do hupwatch's keeper and its relay. */
const GONE = `gone() {
  ! grep -q '^State:.[^Z]' /proc/$1/status 2>/dev/null || grep -q resource_tracker /proc/$1/cmdline 2>/dev/null ||
    grep -q '^hupwatch-' /proc/$1/comm 2>/dev/null
}`;

const overOf = (rival: Rival, site: Site): string => `cd ${site.directory}
${GONE}
ROOT=$(cat root)
${rival.over?.(site) ?? "for pid in $(cat old); do gone $pid || exit 1; done"}`;

const rssKbOf = (pid: number): number | undefined => {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
};
