/**
 * What a command pays for being intercepted: until it is executed, for its trapped calls, and in the requests that it answers; and what the
 * keeper takes. Each side by side with the same command that is not.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { count, median } from "../../fixtures/demo/text.ts";
import { LAUNCHER } from "../../fixtures/demo/wrapped.ts";
import type { LoadReport } from "../../src/load/result.ts";
import { until } from "../harness/until.ts";
import { PYTHON, ROOT } from "../setup/places.ts";
import { hupToExecMs } from "./hup-to-exec.ts";
import { keepersOf } from "./keepers.ts";
import { type Light, notes, SLEEPER, startLight } from "./light.ts";
import { ms, type Row } from "./row.ts";
import { cpuMsOf } from "./scale/usage.ts";
import { CALM_MS, IDLE_MS, switches, wakeUpsSince } from "./wake-ups.ts";

const BUDGET = { execMs: 25, dirtyMb: 4, wakeUps: 0, ratio: 0.98 };
/** For 5,900 of them, on a machine that is slow. */
const CALLS_MS = 120_000;
const INTERCEPTED = ["--handover", "intercept"];

/** `seconds`: of load, on each side of a pair. */
export async function interception(times: number, pairs: number, seconds: number): Promise<Row[]> {
  return [
    await toExec(times),
    ...(await keeper()),
    ...(await trappedCalls()),
    ...(await requests(pairs, seconds)),
  ];
}

async function toExec(times: number): Promise<Row> {
  const plain = median(await hupToExecMs(times));
  const intercepted = median(await hupToExecMs(times, INTERCEPTED));
  const more = intercepted - plain;
  return {
    what: `HUP to the command's exec, intercepted, more than plain (medians of ${times})`,
    budget: `<= ${BUDGET.execMs} ms`,
    measured: `${ms(more)} (${ms(intercepted)} / ${ms(plain)})`,
    met: more <= BUDGET.execMs,
  };
}

/** After three swaps, and when the runtime's collector has come to rest. */
async function keeper(): Promise<Row[]> {
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0", ...INTERCEPTED, "--", ...SLEEPER],
  ]);
  for (let swap = 0; swap < 3; swap++) await light.swap();
  await Bun.sleep(CALM_MS);
  const [one, ...others] = keepersOf(light.place);
  if (one === undefined || others.length > 0) throw new Error(`${others.length + 1} keepers, not one`);
  const before = switches(one.pid);
  await Bun.sleep(IDLE_MS);
  const wakeUps = (wakeUpsSince(before, one.pid) * 1000) / IDLE_MS;
  const dirtyMb = one.privateDirtyKb / 1024;
  return [
    {
      what: "keeper: private dirty memory, after 3 swaps",
      budget: `<= ${BUDGET.dirtyMb} MB`,
      measured: `${dirtyMb.toFixed(1)} MB`,
      met: dirtyMb <= BUDGET.dirtyMb,
    },
    {
      what: "keeper: wake-ups a second, idle, all threads",
      budget: `<= ${BUDGET.wakeUps}`,
      measured: wakeUps.toFixed(1),
      met: wakeUps <= BUDGET.wakeUps,
    },
  ];
}

/** Binds that are the command's own business, and unlinks of a path that is not there: the answer is "go on", the kernel does the rest. */
const CALLS = `
import os, socket, sys, time
def a_second(call, times=5000):
    start = time.perf_counter()
    for _ in range(times):
        call()
    return times / (time.perf_counter() - start)
def unlinks():
    try:
        os.unlink("none")
    except FileNotFoundError:
        pass
sockets = iter([socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(900)])
rates = [a_second(lambda: next(sockets).bind(("127.0.0.1", 0)), 900), a_second(unlinks)]
with open(sys.argv[1], "w") as file:
    print(*rates, file=file)
time.sleep(1000)
`;

async function trappedCalls(): Promise<Row[]> {
  const sides = [await callsASecond(["--handover", "systemd"]), await callsASecond(INTERCEPTED)] as const;
  return ["bind(2)", "unlink(2)"].map((what, i) => {
    const [plain = 0, trapped = 0] = sides.map((rates) => rates[i] ?? 0);
    return {
      what: `${what} a second, trapped / untrapped`,
      budget: "none",
      measured: `${count(Math.round(trapped))} / ${count(Math.round(plain))} (${(1e6 / trapped - 1e6 / plain).toFixed(0)} us more a call)`,
      met: undefined,
    };
  });
}

async function callsASecond(handover: readonly string[]): Promise<number[]> {
  let file = "";
  await using _light = await startLight(({ path, socket }) => {
    file = `${path}/rates`;
    writeFileSync(`${path}/calls.py`, CALLS);
    const options = ["-b", `unix:${socket}`, "--ready", "delay:0", ...handover];
    return [...options, "--", PYTHON, `${path}/calls.py`, file];
  });
  const rates = await until(() => notes(file)[0], {
    what: "the rates of calls",
    everyMs: 50,
    timeoutMs: CALLS_MS,
  });
  return rates.split(" ").map(Number);
}

const SIDES = ["handed", "intercepted"] as const;
type Side = (typeof SIDES)[number];

/** One server that takes descriptors where it is handed them, and else binds: twice at once, loaded in turns. */
async function requests(pairs: number, seconds: number): Promise<Row[]> {
  const start = (handover: readonly string[], before: readonly string[]) =>
    startLight(({ socket }) => [
      ...["-b", `unix:${socket}`, ...handover, "--", ...before],
      ...[process.execPath, `${ROOT}/fixtures/apps/tiny.ts`, `unix:${socket}`],
    ]);
  await using handed = await start(["--handover", "systemd"], []);
  await using intercepted = await start(INTERCEPTED, ["env", "-u", "LISTEN_FDS"]);
  const sides = { handed, intercepted };
  return (["fresh", "keepalive"] as const).map((mode) => {
    const taken = Array.from({ length: pairs }, (_, pair) => {
      const one = {} as Record<Side, Loaded>;
      // Whatever else this machine does: none of them is always the first.
      for (const side of pair % 2 === 0 ? SIDES : SIDES.toReversed())
        one[side] = loaded(sides[side], mode, seconds);
      return one;
    });
    const of = (side: Side, what: keyof Loaded) => median(taken.map((pair) => pair[side][what]));
    const ratio = median(taken.map((pair) => pair.intercepted.aSecond / pair.handed.aSecond));
    const rates = `${count(Math.round(of("intercepted", "aSecond")))} / ${count(Math.round(of("handed", "aSecond")))}`;
    const cpu = `${of("intercepted", "cpuUs").toFixed(0)} / ${of("handed", "cpuUs").toFixed(0)} us`;
    return {
      what: `requests a second, ${mode}, intercepted / LISTEN_FDS (median of ${pairs} pairs)`,
      budget: `>= ${BUDGET.ratio}`,
      measured: `${ratio.toFixed(3)} (${rates}; the server's CPU for one ${cpu})`,
      met: ratio >= BUDGET.ratio,
    };
  });
}

interface Loaded {
  aSecond: number;
  /** Of the server, for one request: other programs disturb it less than a rate. */
  cpuUs: number;
}

function loaded({ place }: Light, mode: "fresh" | "keepalive", seconds: number): Loaded {
  const server = place.processes().find(({ pid }) => commandOf(pid).includes("/tiny.ts"));
  if (!server) throw new Error("the server is gone");
  const before = cpuMsOf(server.pid);
  const words = ["load", "-q", "--json", "-m", mode, "-d", `${seconds}s`, `unix:${place.socket}`];
  const { stdout } = Bun.spawnSync([LAUNCHER, ...words], {
    env: place.environment({ HUPWATCH_BUN: process.execPath }),
  });
  const { okPerSecond, ok } = JSON.parse(stdout.toString()) as LoadReport;
  return { aSecond: okPerSecond, cpuUs: ((cpuMsOf(server.pid) - before) * 1000) / ok };
}

/** hupwatch's own command line has the server's words, too, behind its `--`. */
const commandOf = (pid: number): string => {
  const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
  return words.includes("--") ? "" : words.join(" ");
};
