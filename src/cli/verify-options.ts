/** The options of `hupwatch verify`: its own, and those of `run` that it passes on. */
import { CHAOS_KINDS } from "../verify/plan.ts";
import type { OptionTable } from "./command.ts";
import { RUN_OPTIONS } from "./run-options.ts";

/** verify follows hupwatch by its control socket, and its log is shown only where a start fails. */
const { verbose: _v, quiet: _q, "log-format": _f, version: _n, control: _c, ...passedOn } = RUN_OPTIONS;

export const PASSED_ON = passedOn satisfies OptionTable;

export const VERIFY_OPTIONS = {
  swaps: {
    type: "string",
    short: "n",
    value: "N",
    help: "how often to swap",
    default: "10",
  },
  every: { type: "string", value: "DUR", help: "quiet time between swaps", default: "1s" },
  mode: {
    type: "string",
    short: "m",
    multiple: true,
    value: "MODES",
    help: "fresh, keepalive, post, slow, upload, mix, late, slow-send, slow-read, half-close, sse, websocket (see 'load'); several at once with commas",
    otherwise: "fresh,keepalive, and post if the app keeps the contract",
  },
  rate: {
    type: "string",
    short: "r",
    value: "N",
    help: "requests a second of each mode; half-close has 10 % of it, upload and slow-send 5 %, slow, slow-read and streams 1 %",
    default: "200",
  },
  connections: {
    type: "string",
    short: "c",
    value: "N",
    help: "how many requests are in flight at most, for each mode",
    default: "50",
  },
  burst: {
    type: "string",
    value: "N",
    help: "new connections at once at the HUP, the flip, the stop and the exit; 0: none",
    default: "20",
  },
  url: { type: "string", value: "PATH", help: "what the GETs ask for", default: "/" },
  "any-body": { type: "boolean", help: "take every body as good (a POST without the contract)" },
  timeout: { type: "string", value: "DUR", help: "for a request, connect included", default: "10s" },
  "slow-time": { type: "string", value: "DUR", help: "what 'slow' asks the app to take", default: "500ms" },
  linger: {
    type: "string",
    value: "DUR",
    help: "how long 'slow-send' sends, 'slow-read' reads nothing, a stream stays open",
    default: "2s",
  },
  "websocket-url": { type: "string", value: "PATH", help: "where 'websocket' asks", default: "/ws" },
  front: { type: "string", value: "nginx", help: "put a real nginx with kept upstream connections in front" },
  seed: {
    type: "string",
    value: "N",
    help: "repeats the instants at which requests are sent, and the order of --chaos-mix",
    otherwise: "random, and printed",
  },
  "upload-size": { type: "string", value: "SIZE", help: "body of an 'upload'", default: "256k" },
  "swap-timeout": { type: "string", value: "DUR", help: "for one swap, drain included", default: "90s" },
  chaos: { type: "boolean", help: `after the swaps, bad releases and accidents: ${CHAOS_KINDS.join(", ")}` },
  "chaos-with": { type: "string", multiple: true, value: "KINDS", help: "only these of them" },
  "chaos-mix": {
    type: "string",
    value: "N",
    help: "N of them and of plain swaps in random order under one load; --seed repeats it",
  },
  target: {
    type: "string",
    value: "TARGET",
    help: "where the load goes: unix:/path[:/url], host:port[/url] or http://host:port/url",
    otherwise: "the first socket that hupwatch holds",
  },
  reload: {
    type: "string",
    value: "CMD",
    help: "judge another way to reload: CMD is run by sh -c for each swap, $VERIFY_SWAP is its number",
  },
  "ready-cmd": { type: "string", value: "CMD", help: "run after --reload until it exits with 0" },
  settle: {
    type: "string",
    value: "DUR",
    help: "with --reload: the swap goes on for this long after its commands",
    default: "2s",
  },
  ledger: {
    type: "string",
    value: "FILE",
    help: "to which the app appends the id of each POST that it executes",
    otherwise: "offered in $VERIFY_LEDGER",
  },
  "allow-stale-keepalive": {
    type: "boolean",
    help: "allow idempotent requests to meet a kept connection that is closing",
  },
  compare: { type: "string", value: "FILE", help: "say which figures are worse than in this earlier --json" },
  "max-worse": { type: "string", value: "X", help: "fail if one is above X times what it was in --compare" },
  failures: { type: "string", value: "FILE", help: "write one JSON line for each failure as it happens" },
  "stop-at-first-drop": { type: "boolean", help: "end with the swap in which the first request is dropped" },
  "max-p99-ratio": {
    type: "string",
    value: "X",
    help: "fail if p99 in swaps is above X times the steady one",
  },
  "max-p999-ratio": { type: "string", value: "X", help: "the same for p99.9" },
  "max-gap": { type: "string", value: "DUR", help: "fail if there is no good answer for longer" },
  "max-mixed": { type: "string", value: "DUR", help: "fail if two versions answer alternately for longer" },
  "max-ready": { type: "string", value: "DUR", help: "fail if a generation takes longer to be ready" },
  "max-rss-slope": { type: "string", value: "KB", help: "fail if hupwatch grows by more with each swap" },
  "max-cut-streams": {
    type: "string",
    value: "N",
    help: "fail if more streams end in the middle without a close",
  },
  "max-fd-growth": {
    type: "string",
    value: "N",
    help: "fail if hupwatch has more than N additional descriptors at the end",
  },
  "max-missed": {
    type: "string",
    value: "PERCENT",
    help: "share of slots that may find no free connection",
    default: "1",
  },
  json: {
    type: "string",
    value: "FILE",
    help: "write everything that was found (hupwatch-verify/1); -: to stdout, without the table",
  },
  junit: { type: "string", value: "FILE", help: "write the checks as JUnit XML" },
  html: { type: "string", value: "FILE", help: "write the report as one self-contained page" },
  hgrm: { type: "string", value: "FILE", help: "write the latency spectrum as HdrHistogram's text" },
  quiet: { type: "boolean", short: "q", help: "no progress on stderr" },
  ...PASSED_ON,
} as const satisfies OptionTable;
