/** An explanation for people: 80 columns, a label on the left, the reason behind each fact. Pure. */
import { formatDuration } from "../duration.ts";
import { SETTLE_MS } from "../generation/settle.ts";
import { plain } from "../text.ts";
import type { Explanation } from "./explanation.ts";

const WIDTH = 80;
const INDENT = 13;

export function renderExplanation(e: Explanation, label: (text: string) => string): string {
  const rows: [label: string, lines: string[]][] = [
    ["Server", [serverLine(e.server), ...(e.ran ? [`(${e.ran})`] : [])]],
    ["Directory", [e.directory]],
    ["Runs as", [identityLine(e.identity)]],
    ["Sockets", e.sockets.length > 0 ? e.sockets.flatMap(socketLines) : [noSocket(e)]],
    ["Handover", [HANDOVER[e.handover]]],
    ["Command", commandLines(e.command)],
    ["Environment", environmentLines(e.environment)],
    ["Preflight", [...e.preflights]],
    ["Ready when", e.checks.map((c) => `${c.check}: ${c.proof ? "proof" : "no proof"}, ${c.why}`)],
    ["Swap", swapLines(e)],
    ["Stop", [`${e.stop.sequence}; the server itself allows: ${e.stop.drain}`]],
    ["Leaving", leavingLines(e)],
    ["Warnings", e.warnings.map((w) => `! ${w}`)],
    ["Good to know", e.quirks.flatMap((q) => [`- ${q.what}`, `  ${q.link}`])],
  ];
  return rows
    .filter(([, lines]) => lines.length > 0)
    .map(([name, lines]) => renderRow(label(name.padEnd(INDENT)), lines))
    .join("");
}

/** `gunicorn (python -m gunicorn)` */
function serverLine(server: string): string {
  const [, title, front] = /^(.*?) \((.*)\)$/.exec(server) ?? [];
  return title ? `${title}, recognised by '${front}'` : `${server}: not a known server`;
}

function identityLine({ user, uid, group, gid, umask }: Explanation["identity"]): string {
  const named = (name: string | undefined, id: number) => (name === undefined ? `${id}` : `${name} (${id})`);
  return `user ${named(user, uid)}, group ${named(group, gid)}, umask ${umask}`;
}

const noSocket = ({ handover }: Explanation): string =>
  handover === "intercept"
    ? "none from the start: the addresses of the first generation are learned, and held from then on"
    : "none is held: generations are swapped, connections are not (see --bind)";
const KILLED = "the command never outlives hupwatch";
function leavingLines({ killAtExit, stopDelayMs }: Explanation): string[] {
  if (!killAtExit) return [LEFT];
  const after = formatDuration(stopDelayMs);
  return stopDelayMs > 0
    ? [KILLED, `after TERM it goes on accepting for ${after}, then it is stopped (--stop-delay)`]
    : [KILLED];
}

const LEFT = "TERM to hupwatch leaves the command running, and the next start takes it over (-k stops it)";

const HANDOVER: Record<Explanation["handover"], string> = {
  systemd: "systemd: LISTEN_FDS, descriptors from 3 on",
  argv: "argv: descriptor numbers in the command line or in the server's own variable",
  path: "path: the server takes no descriptor and binds its own path, which is linked onto the public one",
  intercept:
    "intercept: its own bind(2), or that of any process below it, gets the held listener (seccomp; without CAP_SYS_ADMIN sudo, ping and file capabilities have no effect in it: no_new_privs)",
  none: "none",
};

function socketLines({ bind, cutover, descriptor, own }: Explanation["sockets"][number]): string[] {
  const fd = descriptor === undefined ? "" : `, descriptor ${descriptor}`;
  const how = cutover.mode === "steer" ? "steered" : `shared, not steered: ${cutover.why}`;
  return [`${bind}${fd}, ${how}`, ...(own ? [`  as ${own}`] : [])];
}

function commandLines({ given, run }: Explanation["command"]): string[] {
  const shown = run.map(quote).join(" ");
  const [gone, come] = [less(given, run), less(run, given)];
  if (gone.length + come.length === 0) return [`${shown} (as given)`];
  return [
    shown,
    ...(gone.length > 0 ? [`  without  ${gone.map(quote).join(" ")}`] : []),
    ...(come.length > 0 ? [`  with     ${come.map(quote).join(" ")}`] : []),
  ];
}

/** The words of one list that are missing in the other, each as often as it is missing. */
function less(words: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return words.filter((word) => {
    const at = left.indexOf(word);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** Quoted for a shell; of a word with several lines (a program) only the first one is shown. */
function quote(word: string): string {
  const [line = "", ...more] = word.split("\n");
  const text = more.length > 0 ? `${line} ...` : word;
  return /^[\w@%+=:,./{}-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function environmentLines({ set, removed }: Explanation["environment"]): string[] {
  return [
    ...Object.entries(set).map(([name, value]) => `+ ${name}=${value}`),
    ...removed.map((name) => `- ${name}`),
  ];
}

function swapLines({ swap, sockets }: Explanation): string[] {
  const ready = `not ready within ${formatDuration(swap.readyTimeoutMs)}: rolled back`;
  const settles = sockets.some(({ cutover }) => cutover.mode === "steer");
  const warmup = `both serve for ${formatDuration(settles ? Math.max(swap.warmupMs, SETTLE_MS) : swap.warmupMs)}`;
  const drain =
    sockets.length > 0 && swap.drainUntilIdleMs > 0
      ? `, the old one without new connections; no stop signal while it holds any, for ${formatDuration(swap.drainUntilIdleMs)} at most`
      : "";
  const kept = sockets.length > 0 ? [swap.kept] : [];
  return [ready, `${warmup}${drain}`, ...kept, ...decisionLines(swap)];
}

/** What the options request between the flip and the stop of the old one. */
function decisionLines({ confirmMs, judge, keepMs }: Explanation["swap"]): string[] {
  const by = judge === undefined ? "'hupwatch confirm'" : `'hupwatch confirm' or the judge '${judge}'`;
  return [
    ...(confirmMs === undefined
      ? []
      : [`without ${by} within ${formatDuration(confirmMs)} the old one gets the clients back`]),
    ...(keepMs === undefined
      ? []
      : [`the old one is kept for ${formatDuration(keepMs)}: 'hupwatch rollback'`]),
  ];
}

function renderRow(name: string, lines: readonly string[]): string {
  const [first = "", ...rest] = lines.map(plain).flatMap(wrap);
  return [`${name}${first}\n`, ...rest.map((line) => `${" ".repeat(INDENT)}${line}\n`)].join("");
}

/** At spaces; a word that is too long for a line stays whole, so that it can be copied. */
function wrap(text: string): string[] {
  const hang = /^(\s*(?:[-+!] |without {2}|with {5})?)/.exec(text)?.[1]?.length ?? 0;
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/(?<=\S) /)) {
    if (line !== "" && line.length + 1 + word.length > WIDTH - INDENT) {
      lines.push(line);
      line = `${" ".repeat(hang)}${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
