/**
 * What hupwatch and its keeper say to each other. Requests go over a socket that keeps packets apart, with descriptors beside
 * them, and each is answered at once; what the keeper sees by itself comes as lines over a stream, which the event loop can wait for.
 *
 * The keeper tells what the command did: its lines are the command's word, so they are read as input (`readEvent`).
 */
import { constants } from "node:os";
import type { SocketAddress } from "../sockets/sockaddr.ts";

/** Grows when an older keeper would misunderstand a newer hupwatch; then that one is only asked for its listeners. */
export const PROTOCOL = 1;

/** One packet; what is longer (the command's words and environment) goes through a file without a name. */
export const PACKET_BYTES_MAX = 128 * 1024;

/** A listener that stands in the place of an address; its descriptor goes beside the request. */
export interface HandedListener {
  address: SocketAddress;
  alsoAt: readonly string[];
  ipv6Only: boolean;
  privatePath?: string | undefined;
}

export type KeeperRequest =
  /** From now on the events go there. Beside it: the stream. */
  | { do: "attach"; protocol: number }
  /**
   * Starts a command in a filter. Beside it, in this order: the exec helper's order, stdin, stdout, stderr, so many `descriptors` for 3, 4, ...,
   * a listener for each of `listeners`, and what else is to stay open as long as the generation lives.
   */
  | {
      do: "start";
      generation: number;
      helper: readonly string[];
      helperEnv: readonly string[];
      descriptors: number;
      listeners: readonly HandedListener[];
      /** Other addresses are learned, with an accept queue of that length. */
      learns: { backlog: number } | undefined;
    }
  /**
   * A keeper has died, and this one goes on for it. Beside it: the descriptor of the generation's filter, its listeners, and what else
   * is to stay open.
   */
  | {
      do: "adopt";
      generation: number;
      listeners: readonly HandedListener[];
      learns: { backlog: number } | undefined;
    }
  /** What the generation binds at these, too, is to be replaced. Beside it: a listener for each, and what else is to stay open. */
  | { do: "give"; generation: number; listeners: readonly HandedListener[] }
  /** The generation does not listen at these and will not: by their sockets' numbers in /proc. */
  | { do: "forget"; generation: number; inodes: readonly number[] }
  /** A listener that is kept, by its socket's number in /proc. */
  | { do: "take"; inode: number };

export interface KeptChild {
  pid: number;
  /** What has bound an address below it. */
  binders: readonly number[];
}

export interface KeptCharge {
  generation: number;
  listeners: readonly HandedListener[];
  others: number;
  learns: { backlog: number } | undefined;
}

export type KeeperReply =
  /** Beside it: the memory of the call in hand, and for each charge its filter, its listeners and the others. */
  | {
      ok: true;
      protocol: number;
      /** The keeper's own. */
      pid: number;
      children: readonly KeptChild[];
      charges: readonly KeptCharge[];
    }
  | { ok: true; child: number; noNewPrivileges: boolean }
  /** With the descriptor beside it, or without where it is not kept. */
  | { ok: true }
  | { ok: false; call: string; errno: string };

export type KeeperEvent =
  | { event: "exited"; pid: number; code?: number; signal?: number }
  | { event: "bound"; generation: number; pid: number; address: string }
  /** `learned`: the keeper has made it. */
  | {
      event: "listening";
      generation: number;
      pid: number;
      address: string;
      inode: number;
      learned: boolean;
      privatePath?: string;
    }
  /** No process has its filter any more. */
  | { event: "released"; generation: number }
  | { event: "trouble"; generation: number; what: string };

/**
 * Blocked in the keeper from its first instant on, so that it has them in no thread: the ends of children, which it reads, and what
 * ends others of its service. It ends by itself, and at once, when nothing is left to keep.
 */
export const BLOCKED_SIGNALS = [
  ...(["SIGCHLD", "SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT"] as const),
  ...(["SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGTSTP"] as const),
];

/** The name of a signal, of which a status has only the number. */
export const signalName = (number: number): string =>
  Object.entries(constants.signals).find(([, n]) => n === number)?.[0] ?? `SIG${number}`;

/** Undefined where it is not one of ours. */
export function readEvent(line: string): KeeperEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Record<string, unknown>;
  switch (fields.event) {
    case "exited":
      return isCount(fields.pid) && (isCount(fields.code) || isCount(fields.signal))
        ? { event: "exited", pid: fields.pid, ...pick(fields, "code"), ...pick(fields, "signal") }
        : undefined;
    case "bound":
      return isCount(fields.generation) && isCount(fields.pid) && isText(fields.address)
        ? { event: "bound", generation: fields.generation, pid: fields.pid, address: fields.address }
        : undefined;
    case "listening":
      return readListening(fields);
    case "released":
      return isCount(fields.generation) ? { event: "released", generation: fields.generation } : undefined;
    case "trouble":
      return isCount(fields.generation) && isText(fields.what)
        ? { event: "trouble", generation: fields.generation, what: fields.what }
        : undefined;
    default:
      return undefined;
  }
}

function readListening(fields: Record<string, unknown>): KeeperEvent | undefined {
  const { generation, pid, address, inode, learned, privatePath } = fields;
  if (!isCount(generation) || !isCount(pid) || !isText(address) || !isCount(inode)) return undefined;
  if (privatePath !== undefined && !isText(privatePath)) return undefined;
  const path = privatePath === undefined ? {} : { privatePath };
  return { event: "listening", generation, pid, address, inode, learned: learned === true, ...path };
}

const TEXT_MAX = 1000;
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= TEXT_MAX;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const pick = <K extends "code" | "signal">(fields: Record<string, unknown>, key: K) =>
  isCount(fields[key]) ? ({ [key]: fields[key] } as Record<K, number>) : {};
