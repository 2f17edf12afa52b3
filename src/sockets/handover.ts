/**
 * How a generation learns of its listeners. Pure: words and variables in, words and variables out.
 *
 * `systemd` is sd_listen_fds(3): LISTEN_FDS and LISTEN_FDNAMES here, LISTEN_PID at the fork (os/spawn.ts).
 * `intercept` changes nothing: the command's own bind(2) gets the listener (intercept/). If only the program knows whether it takes
 * descriptors or binds, it gets both.
 * Placeholders in the command's words work with every mode: {fd}, {fd:NAME}, {socket}, {socket:NAME}, {gen}.
 */
import { HupwatchError } from "../error.ts";
import { PROBE } from "./spec.ts";

export type Handover = "systemd" | "argv" | "path" | "intercept" | "none";

export const FIRST_DESCRIPTOR = 3;

/** The number that the socket with this index has in every generation; two sockets may have one name, but never one number. */
export const descriptorOf = (index: number): number => FIRST_DESCRIPTOR + index;

export interface HandoverSocket {
  name: string;
  /** The hidden path that hupwatch bound, else the public address: a path, `@name` or `host:port`. */
  socket: string;
}

export interface HandoverInput {
  mode: Handover;
  words: readonly string[];
  /** The server's own dialect: values are filled like words. */
  env?: Readonly<Record<string, string>>;
  sockets: readonly HandoverSocket[];
  /** Of `intercept`: LISTEN_FDS, too. */
  besides?: boolean;
  generation: number;
}

export interface HandedOver {
  words: string[];
  env: Record<string, string>;
  /** LISTEN_PID is wanted. */
  listenPid: boolean;
  /** The descriptors are passed at all. */
  passesDescriptors: boolean;
}

export function handOver(input: HandoverInput): HandedOver {
  const { mode, words, env = {}, sockets } = input;
  const asSystemd = mode === "systemd" || input.besides === true;
  const passesDescriptors = asSystemd || mode === "argv";
  const systemd = asSystemd && sockets.length > 0;
  return {
    words: words.map((word) => fill(word, input, passesDescriptors)),
    env: {
      ...Object.fromEntries(
        Object.entries(env).map(([name, value]) => [name, fill(value, input, passesDescriptors)]),
      ),
      ...(systemd
        ? { LISTEN_FDS: String(sockets.length), LISTEN_FDNAMES: sockets.map((s) => s.name).join(":") }
        : {}),
    },
    listenPid: systemd,
    passesDescriptors,
  };
}

const PLACEHOLDER = /\{(fd|socket|gen)(?::([A-Za-z0-9_.-]+))?\}/g;

/** The command line says by such a placeholder how it takes the sockets. */
export const hasPlaceholder = (words: readonly string[], kind: "fd" | "socket"): boolean =>
  placeholders(words).some((m) => m[1] === kind && m[2] !== PROBE.name);

/** Requests the private listener; says nothing of how the others are taken. */
export const wantsProbe = (words: readonly string[]): boolean =>
  placeholders(words).some((m) => m[1] === "fd" && m[2] === PROBE.name);

const placeholders = (words: readonly string[]) => words.flatMap((word) => [...word.matchAll(PLACEHOLDER)]);

function fill(word: string, { sockets, generation }: HandoverInput, passesDescriptors: boolean): string {
  return word.replace(PLACEHOLDER, (placeholder, kind: string, name: string | undefined) => {
    if (kind === "gen") return name === undefined ? String(generation) : placeholder;
    const index = name === undefined ? 0 : sockets.findIndex((s) => s.name === name);
    const socket = sockets[index];
    if (!socket) throw unknown(placeholder, sockets);
    if (kind === "socket") return socket.socket;
    if (!passesDescriptors)
      throw new HupwatchError(
        "handover.no-descriptor",
        `${placeholder} needs a handover that passes descriptors`,
        {
          hint: "use --handover argv or systemd",
        },
      );
    return String(descriptorOf(index));
  });
}

const unknown = (placeholder: string, sockets: readonly HandoverSocket[]) =>
  new HupwatchError(
    "handover.unknown-socket",
    sockets.length === 0
      ? `the command contains ${placeholder}, but no socket is held`
      : `${placeholder} names no held socket (there are: ${sockets.map((s) => s.name).join(", ")})`,
    { hint: "give the socket with --bind NAME=SPEC" },
  );
