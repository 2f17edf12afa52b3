/** `hupwatch load`: reads the options, runs the engine, shows what it says. */
import { HupwatchError } from "../error.ts";
import { type LoadSnapshot, startLoad } from "../load/engine.ts";
import { FailureLog, unixZeroOf } from "../load/failure-log.ts";
import type { FailureRecord } from "../load/outcome.ts";
import { DEFAULTS, type LoadPlan, MODES, type Mode, makePlan } from "../load/plan.ts";
import { preflight } from "../load/preflight.ts";
import { type LoadResult, reportOf } from "../load/result.ts";
import { progressLine, renderTable } from "../load/table.ts";
import { parseTarget } from "../load/target.ts";
import { verdictOf } from "../load/verdict.ts";
import { durationText, sizeText } from "../values.ts";
import { command, type Values, withDefaults } from "./command.ts";
import { print, printJson } from "./print.ts";
import { ProgressLine } from "./progress-line.ts";
import { requireWritable, unwritten, writeReport } from "./report-file.ts";
import { untilInterrupted } from "./signals.ts";
import { duration, given, number, size, urlPath, usage, wholeNumber } from "./values.ts";

const OPTIONS = {
  mode: { type: "string", short: "m", value: "MODE", help: MODES.join(", "), default: DEFAULTS.mode },
  connections: {
    type: "string",
    short: "c",
    value: "N",
    help: "how many requests are in flight at most",
    default: String(DEFAULTS.connections),
  },
  rate: {
    type: "string",
    short: "r",
    value: "N",
    help: "requests a second, whatever the server does (open loop)",
    otherwise: "as fast as answers come (closed loop)",
  },
  duration: {
    type: "string",
    short: "d",
    value: "DUR",
    help: "how long",
    default: durationText(DEFAULTS.durationMs),
  },
  requests: {
    type: "string",
    short: "n",
    value: "N",
    help: "how many; with --duration, whichever ends first",
  },
  timeout: {
    type: "string",
    value: "DUR",
    help: "for a request, connect included",
    default: durationText(DEFAULTS.timeoutMs),
  },
  "slow-time": {
    type: "string",
    value: "DUR",
    help: "what 'slow' asks the server to take",
    default: durationText(DEFAULTS.slowMs),
  },
  linger: {
    type: "string",
    value: "DUR",
    help: "how long 'late' is silent, 'slow-send' sends, 'slow-read' reads nothing, a stream stays open",
    default: durationText(DEFAULTS.lingerMs),
  },
  "read-size": {
    type: "string",
    value: "SIZE",
    help: "what 'slow-read' asks for",
    default: sizeText(DEFAULTS.readBytes),
  },
  "websocket-url": {
    type: "string",
    value: "PATH",
    help: "where 'websocket' asks",
    default: DEFAULTS.websocketUrl,
  },
  seed: {
    type: "string",
    value: "N",
    help: "with --rate: send each request at a random instant of its slot; the same N repeats them",
  },
  "upload-size": {
    type: "string",
    value: "SIZE",
    help: "body of an 'upload', e.g. 64k, 1m",
    default: sizeText(DEFAULTS.uploadBytes),
  },
  "any-body": { type: "boolean", help: "take every body as good (a server without the fixture contract)" },
  "fail-on-stale": {
    type: "boolean",
    help: "count an older version that answers after a newer one as a failure",
  },
  "max-missed": {
    type: "string",
    value: "PERCENT",
    help: "share of slots that may find no free connection",
    default: String(DEFAULTS.missedMax * 100),
  },
  failures: { type: "string", value: "FILE", help: "write one JSON line for each failure as it happens" },
  "stop-at-first-drop": { type: "boolean", help: "end when the first request has failed" },
  json: { type: "boolean", help: "print the result as JSON (schema hupwatch-load/1) instead of the table" },
  hgrm: { type: "string", value: "FILE", help: "write the latency spectrum in HdrHistogram's text format" },
  quiet: { type: "boolean", short: "q", help: "no progress on stderr" },
} as const;

const EPILOGUE = `MODES

  fresh      GET, a new connection for each request
  keepalive  GET on kept connections
  post       POST of 1 KiB on kept connections to /upload; the answer must have its id and checksum
  slow       GET /slow?ms=..., a new connection each: requests that stay in flight for long
  upload     POST of --upload-size to /upload, a new connection each
  mix        all of these: of 20 requests 8 keepalive, 6 fresh, 4 post, 1 slow, 1 upload

  Clients that take their time (--linger), each on a connection of its own:
  late       connects and is silent, then GET: like a browser or proxy that connects in advance
  slow-send  POST to /upload, a few bytes at a time
  slow-read  GET /big?bytes=..., and reads nothing at first, so that the server's send buffer is full
  half-close GET, then closes its half of the connection; the answer must still come
  sse        GET /stream, a chunk every 100 ms: cut if it ends early
  websocket  an upgrade at --websocket-url, a text every 100 ms that must be echoed; closed or cut if it ends early

  No request is ever sent twice. Each carries an id of its own in X-Request-Id.

EXIT CODES

  0  no request failed
  1  some failed
  2  usage
  3  there is no server to load
  4  the generator was the limit: too many slots found no free connection, so the run proves nothing`;

export default command({
  name: "load",
  summary: "Load an HTTP server and never try a request twice, Unix sockets first.",
  usage: "[options] TARGET",
  options: OPTIONS,
  usageExitCode: 2,
  examples: [
    {
      command: "hupwatch load --rate 500 --duration 30s unix:/tmp/myapp.sock",
      meaning: "500 requests a second, latency from when each was due",
    },
    {
      command: "hupwatch load --mode fresh unix:/tmp/myapp.sock:/healthz",
      meaning: "new connections as fast as they are answered",
    },
    {
      command: "hupwatch load --mode post --rate 200 --json http://127.0.0.1:8000/ > result.json",
      meaning: "POSTs with checksums over TCP, the result for a script",
    },
  ],
  epilogue: EPILOGUE,
  async run({ values, positionals }) {
    const plan = readPlan(values, positionals);
    await preflight(plan);
    for (const file of [values.hgrm, values.failures]) requireWritable(file);
    using failures = values.failures === undefined ? undefined : new FailureLog(values.failures);
    const result = await runShowing(plan, values, failures);
    if (values.json) await printJson(reportOf(result));
    else await print(renderTable(result));
    if (values.hgrm !== undefined) await writeSpectrum(values.hgrm, result);
    if (failures?.problem) throw unwritten(values.failures ?? "", failures.problem);
    return conclude(plan, result);
  },
});

/** Of a body, which is made or read in one piece. */
const BYTES_MAX = 1024 ** 3;

function readPlan(values: Values<typeof OPTIONS>, positionals: string[]): LoadPlan {
  const [text, second] = positionals;
  if (text === undefined) throw usage("no target", "name one: unix:/path/to.sock or host:port");
  if (second !== undefined) throw usage(`two targets: '${text}' and '${second}'`, "name one");
  const requests = given(values.requests, wholeNumber, "--requests", 1, 9_999_999_999);
  const timed = values.duration !== undefined || requests === undefined;
  const known = withDefaults(OPTIONS, values);
  return makePlan(parseTarget(text, process.cwd()), {
    mode: readMode(known.mode),
    connections: wholeNumber(known.connections, "--connections", 1, 60_000),
    rate: given(values.rate, number, "--rate", 0.01, 1_000_000),
    requests,
    durationMs: timed ? duration(known.duration, "--duration", 1) : undefined,
    timeoutMs: duration(known.timeout, "--timeout", 1),
    slowMs: duration(known["slow-time"], "--slow-time", 0),
    lingerMs: duration(known.linger, "--linger", 0),
    readBytes: size(known["read-size"], "--read-size", BYTES_MAX),
    websocketUrl: urlPath(known["websocket-url"], "--websocket-url"),
    jitterSeed: given(values.seed, wholeNumber, "--seed", 0, 0xffffffff),
    uploadBytes: size(known["upload-size"], "--upload-size", BYTES_MAX),
    checkBodies: values["any-body"] !== true,
    staleIsFailure: values["fail-on-stale"] === true,
    missedMax: number(known["max-missed"], "--max-missed", 0, 100) / 100,
  });
}

async function runShowing(
  plan: LoadPlan,
  values: Values<typeof OPTIONS>,
  failures: FailureLog | undefined,
): Promise<LoadResult> {
  using interrupt = untilInterrupted({ signals: ["SIGINT", "SIGTERM"], once: true });
  using line = values.quiet === true ? undefined : new ProgressLine();
  const onTick = (snapshot: LoadSnapshot) => line?.show(progressLine(snapshot));
  const ticking = line ? { onTick, tickMs: line.everyMs } : {};
  const failed = new AbortController();
  const signal = AbortSignal.any([interrupt.signal, failed.signal]);
  const onFailure = (record: FailureRecord) => {
    failures?.write(record, unixZeroOf(run.originMs), { mode: plan.mode });
    if (values["stop-at-first-drop"] === true) failed.abort();
  };
  const run = startLoad(plan, { signal, onFailure, ...ticking });
  return await run.done;
}

/** HdrHistogram's percentile text, in milliseconds: what its plotter and wrk2's users read. */
const writeSpectrum = (file: string, { histograms }: LoadResult) =>
  writeReport(file, histograms.latency.outputPercentileDistribution(5, 1000));

function conclude(plan: LoadPlan, result: LoadResult): number {
  switch (verdictOf(result)) {
    case "clean":
      return 0;
    case "failures":
      return 1;
    case "limited":
      throw new HupwatchError("load.limited", `inconclusive: ${result.generator.reasons.join("; ")}`, {
        exitCode: 4,
        hint: `raise --connections (now ${plan.connections}), lower --rate, or allow more with --max-missed`,
      });
  }
}

function readMode(text: string): Mode {
  const mode = MODES.find((one) => one === text);
  if (mode) return mode;
  throw usage(`--mode '${text}' is not a mode`, `use one of ${MODES.join(", ")}`);
}
