/**
 * The log: one line per life-cycle event on stderr (stdout belongs to the server). The only user of consola, and only
 * of its core: the fancy reporters would cost 10 MB of memory. Each line is written in one piece, so that it stays whole
 * between the server's own.
 */
import { fstatSync } from "node:fs";
import { type ConsolaInstance, createConsola, LogLevels, type LogObject, LogTypes } from "consola/core";
import { json, plain } from "./text.ts";

export type LogFormat = "text" | "json";

export interface LogOptions {
  /** 0 errors only, 3 life-cycle events, 4 debug, 5 trace. */
  level: number;
  format: LogFormat;
  color: boolean;
  /** stderr is systemd's journal, which has the time, the name and the pid, and takes the level from us. */
  journal?: boolean;
  /** A line with its end. Never waits and never throws. */
  write: (line: string) => void;
}

export type Facts = Record<string, string | number | boolean | readonly (string | number)[] | undefined>;

/** `event` is a stable name for scripts, `text` is for people, `facts` are the JSON line's further fields. */
export interface Log {
  /** No error, and lasting: said with -q, too. */
  notice(event: string, text: string, facts?: Facts): void;
  error(event: string, text: string, facts?: Facts): void;
  warn(event: string, text: string, facts?: Facts): void;
  info(event: string, text: string, facts?: Facts): void;
  debug(event: string, text: string, facts?: Facts): void;
}

/** -q is errors, no flag is events, -v is debug, -vv is trace. */
export const logLevel = (verbose: number, quiet: boolean): number =>
  quiet ? LogLevels.error : Math.min(LogLevels.info + verbose, LogLevels.trace);

export function createLog(options: LogOptions): Log {
  const asLine = options.journal ? asJournalText : options.color ? asColouredText : asText;
  const render = options.format === "json" ? asJson : asLine;
  const consola = createConsola({
    level: options.level,
    types: { ...LogTypes, log: { level: LogLevels.error } }, // consola has no "notice" of its own
    throttle: 0, // consola folds repeated lines; two equal events are two events
    reporters: [{ log: (entry) => options.write(`${render(entry)}\n`) }],
  });
  return {
    notice: emit(consola, "log"),
    error: emit(consola, "error"),
    warn: emit(consola, "warn"),
    info: emit(consola, "info"),
    debug: emit(consola, "debug"),
  };
}

const emit =
  (consola: ConsolaInstance, type: "log" | "error" | "warn" | "info" | "debug") =>
  (event: string, text: string, facts: Facts = {}) =>
    consola[type]({ message: text, event, facts });

interface Entry extends LogObject {
  event?: string;
  facts?: Facts;
}

const asText = (entry: Entry): string => {
  const mark = entry.type === "error" || entry.type === "warn" ? `${entry.type}: ` : "";
  return `${entry.date.toISOString()} hupwatch[${process.pid}] ${mark}${text(entry)}`;
};

const DIM = "\x1b[2m";
const RESET = "\x1b[0m";
const COLOURS: Record<string, string> = { error: "\x1b[31m", warn: "\x1b[33m", debug: "\x1b[2m" };

const asColouredText = (entry: Entry): string => {
  const time = entry.date.toISOString().slice(11, 23);
  return `${DIM}${time} hupwatch[${process.pid}]${RESET} ${COLOURS[entry.type] ?? ""}${text(entry)}${RESET}`;
};

/** sd-daemon(3), and systemd.exec(5) on SyslogLevelPrefix=. */
const PRIORITIES: Record<string, number> = { error: 3, warn: 4, log: 5, info: 6, debug: 7 };

const asJournalText = (entry: Entry): string => `<${PRIORITIES[entry.type] ?? 6}>${text(entry)}`;

/** systemd.exec(5): `$JOURNAL_STREAM` has the device and the inode of what systemd connected to the journal. */
export function isJournal(stream: string | undefined, fd: number): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd);
    return stream === `${dev}:${ino}`;
  } catch {
    return false; // closed
  }
}

const asJson = (entry: Entry): string =>
  json({
    time: entry.date.toISOString(),
    level: entry.type === "log" ? "notice" : entry.type,
    event: entry.event,
    pid: process.pid,
    message: messageOf(entry),
    ...entry.facts,
  });

const messageOf = (entry: Entry): string => entry.message ?? entry.args.join(" ");

/** An event is a line, and its text may quote a child. */
const text = (entry: Entry): string => plain(messageOf(entry));
