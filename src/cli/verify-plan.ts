/** From the words of `hupwatch verify` to a VerifyPlan: every value is checked here, before anything is started. */
import { readFileSync } from "node:fs";
import { MODES } from "../load/plan.ts";
import { parseTarget } from "../load/target.ts";
import { type KeyFigures, keyFiguresIn } from "../verify/compare.ts";
import {
  type Bounds,
  CHAOS_KINDS,
  type ChaosKind,
  type HupwatchSubject,
  type ReloadSubject,
  type VerifyPlan,
} from "../verify/plan.ts";
import { type Values, withDefaults } from "./command.ts";
import { duration, given, listOf, number, oneOf, size, urlPath, usage, wholeNumber } from "./values.ts";
import { PASSED_ON, VERIFY_OPTIONS } from "./verify-options.ts";

export type VerifyValues = Values<typeof VERIFY_OPTIONS>;

/** A release that hangs is noticed only at the deadline: the default minute would be most of the run. */
const HANG_READY_TIMEOUT = "15s";
/** It is made as one piece. */
const UPLOAD_BYTES_MAX = 1024 ** 3;

/** Throws a usage error (2) that names the option and the value. */
export function planVerify(values: VerifyValues, words: readonly string[]): VerifyPlan {
  const chaos = chaosOf(values);
  const subject = words.length > 0 ? hupwatchSubject(values, words, chaos) : reloadSubject(values);
  if (subject.kind === "reload" && chaos.length > 0)
    throw usage("--chaos acts on hupwatch's generations, and --reload has none", "leave one of them out");
  if (values.target !== undefined) parseTarget(values.target, process.cwd());
  const known = withDefaults(VERIFY_OPTIONS, values);
  return {
    subject,
    target: values.target,
    url: urlPath(known.url, "--url"),
    modes: values.mode && listOf(values.mode, "--mode", MODES),
    rate: number(known.rate, "--rate", 0.1, 1_000_000),
    connections: wholeNumber(known.connections, "--connections", 1, 60_000),
    swaps: wholeNumber(known.swaps, "--swaps", 1, 1_000_000),
    everyMs: duration(known.every, "--every", 1),
    burst: wholeNumber(known.burst, "--burst", 0, 10_000),
    swapTimeoutMs: duration(known["swap-timeout"], "--swap-timeout", 1),
    timeoutMs: duration(known.timeout, "--timeout", 1),
    slowMs: duration(known["slow-time"], "--slow-time"),
    lingerMs: duration(known.linger, "--linger"),
    websocketUrl: urlPath(known["websocket-url"], "--websocket-url"),
    front: given(values.front, (text) => oneOf(text, "--front", ["nginx"])),
    seed: given(values.seed, wholeNumber, "--seed", 0, 0xffffffff) ?? Math.floor(Math.random() * 2 ** 32),
    uploadBytes: size(known["upload-size"], "--upload-size", UPLOAD_BYTES_MAX),
    checkBodies: values["any-body"] !== true,
    missedMax: number(known["max-missed"], "--max-missed", 0, 100) / 100,
    chaos,
    mix: mixOf(values, chaos),
    compareWith: compareWith(values),
    allowStaleKeepAlive: values["allow-stale-keepalive"] === true,
    stopAtFirstDrop: values["stop-at-first-drop"] === true,
    ledger: values.ledger,
    bounds: boundsOf(values),
  };
}

function hupwatchSubject(
  values: VerifyValues,
  words: readonly string[],
  chaos: readonly ChaosKind[],
): HupwatchSubject {
  for (const option of ["reload", "ready-cmd", "settle"] as const)
    if (values[option] !== undefined)
      throw usage(
        `--${option} is for a server that is already running, but a command is given, too`,
        "give one of the two",
      );
  const killAtExit = values["kill-at-exit"] ?? !chaos.includes("kill");
  if (killAtExit && chaos.includes("kill"))
    throw usage(
      "--kill-at-exit leaves no survivors, and --chaos kills hupwatch to see them taken over",
      "leave out --kill-at-exit, or name the other kinds with --chaos-with",
    );
  const runWords = passedOn({ ...values, "kill-at-exit": killAtExit });
  if (chaos.includes("hang") && values["ready-timeout"] === undefined)
    runWords.push(`--ready-timeout=${HANG_READY_TIMEOUT}`);
  return { kind: "hupwatch", words, runWords, killAtExit };
}

function reloadSubject(values: VerifyValues): ReloadSubject {
  if (values.reload === undefined)
    throw usage(
      "nothing to verify",
      "put a command behind --, or name a running server with --target and its --reload command",
    );
  if (values.target === undefined)
    throw usage("--reload without --target", "say where that server listens, e.g. --target unix:/path");
  const unfit = Object.keys(PASSED_ON).find((name) => values[name as keyof VerifyValues] !== undefined);
  if (unfit !== undefined)
    throw usage(`--${unfit} is for a command that hupwatch starts, and --reload is not`, "leave it out");
  return {
    kind: "reload",
    reload: values.reload,
    ready: values["ready-cmd"],
    settleMs: duration(values.settle ?? VERIFY_OPTIONS.settle.default, "--settle"),
  };
}

/** `--name=value`: a value may begin with a dash. */
function passedOn(values: VerifyValues): string[] {
  return Object.keys(PASSED_ON).flatMap((name) => {
    const value = values[name as keyof typeof PASSED_ON];
    if (value === undefined) return [];
    if (typeof value === "boolean") return [value ? `--${name}` : `--no-${name}`];
    return [value].flat().map((one) => `--${name}=${one}`);
  });
}

function chaosOf(values: VerifyValues): ChaosKind[] {
  const named = values["chaos-with"];
  if (named) return listOf(named, "--chaos-with", CHAOS_KINDS);
  return values.chaos ? [...CHAOS_KINDS] : [];
}

function mixOf(values: VerifyValues, chaos: readonly ChaosKind[]): number {
  const mix = given(values["chaos-mix"], wholeNumber, "--chaos-mix", 1, 1_000_000) ?? 0;
  if (mix > 0 && chaos.length === 0)
    throw usage("--chaos-mix mixes nothing", "name what: --chaos, or --chaos-with KINDS");
  return mix;
}

/** Read before minutes of load, not after. */
function compareWith({ compare: file, "max-worse": bound }: VerifyValues): KeyFigures | undefined {
  if (file === undefined) {
    if (bound !== undefined)
      throw usage("--max-worse without --compare", "name the earlier report: --compare old.json");
    return undefined;
  }
  const figures = keyFiguresIn(jsonIn(file));
  if (figures) return figures;
  throw usage(
    `--compare '${file}' is not a report of hupwatch verify`,
    "name what --json has written, of this version or later",
  );
}

function jsonIn(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined;
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw usage(`--compare '${file}' cannot be read: ${why}`, "name a file that exists");
  }
}

function boundsOf(values: VerifyValues): Bounds {
  const ms = (option: "max-gap" | "max-mixed" | "max-ready") =>
    given(values[option], duration, `--${option}`);
  return {
    maxP99Ratio: given(values["max-p99-ratio"], number, "--max-p99-ratio", 0.01, 1e6),
    maxP999Ratio: given(values["max-p999-ratio"], number, "--max-p999-ratio", 0.01, 1e6),
    maxGapMs: ms("max-gap"),
    maxMixedMs: ms("max-mixed"),
    maxReadyMs: ms("max-ready"),
    maxRssSlopeKb: given(values["max-rss-slope"], number, "--max-rss-slope", 0, 1e9),
    maxWorse: given(values["max-worse"], number, "--max-worse", 0.01, 1e6),
    maxCutStreams: given(values["max-cut-streams"], wholeNumber, "--max-cut-streams", 0, 1e9),
    maxFdGrowth: given(values["max-fd-growth"], wholeNumber, "--max-fd-growth", 0, 1e6),
  };
}
