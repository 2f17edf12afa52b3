/**
 * Starts processes: a generation's command in its own session, with listeners from descriptor 3 on and LISTEN_PID as its true pid (which
 * is known only after the fork, so the trampoline sets it); helper programs; and programs that are run to their end.
 */

import { constants as numbers } from "node:os";
import type { Subprocess } from "bun";
import { EXIT, HupwatchError } from "../error.ts";
import { close, pipe, readAvailable } from "./libc.ts";
import { type Lookup, requireRunnable } from "./lookup.ts";
import { birthOf, type Identity, type Leader, processOf } from "./procfs.ts";
import { sendSignal } from "./send-signal.ts";
import type { Account } from "./setpriv.ts";
import { trampoline } from "./trampoline.ts";

/** `user` and `group`: by name or number, with all its groups (setpriv --init-groups); undefined keeps ours. */
export interface SpawnRequest extends Lookup {
  /** Passed as 3, 4, ... in this order. */
  descriptors: readonly number[];
  /** Set LISTEN_PID. */
  listenPid: boolean;
  umask?: number | undefined;
  /** Instead of our own stdout and stderr. */
  stdout?: number | "ignore" | undefined;
  stderr?: number | undefined;
  /** Its calls are trapped, and these listeners take the place of what it binds; else it binds by itself. */
  interception?: Interception | undefined;
  /** The kernel sends the command SIGKILL when this process ends (prctl(2), PR_SET_PDEATHSIG), if canDieWithParent. */
  dieWithParent: boolean;
}

export interface Interception {
  generation: number;
  listeners: readonly InterceptingListener[];
  /** These stay open as long as the generation lives, whatever happens to hupwatch. */
  kept: readonly number[];
  /** What else it listens on is learned, with an accept queue of that length. */
  learns?: { backlog: number } | undefined;
}

/** What stands in the place of an address that the command binds. */
export interface InterceptingListener {
  fd: number;
  /** As struct sockaddr has it. */
  sockaddr: Uint8Array;
  /** Other paths that lead to a Unix address. */
  alsoAt: readonly string[];
  /** The name beside a Unix path that the listener is bound to. */
  privatePath?: string | undefined;
}

export interface ExitStatus {
  /** Undefined where a signal ended it. */
  code: number | undefined;
  signal: string | undefined;
}

export interface Child extends Readonly<Leader> {
  readonly exited: Promise<ExitStatus>;
  /** False where it is gone already. */
  kill(signal: string): boolean;
  /** Where it listens by now, of the addresses that were given or are learned, as `format` writes them. */
  listening?(): ReadonlySet<string>;
  /** These sockets, by their numbers in /proc, are not its own: it does not listen there, and will not. */
  forget?(inodes: readonly number[]): void;
  /** What it binds at these addresses, too, is to be replaced from now on. Throws SystemError. */
  give?(more: Interception): void;
  /** The server below it, where it is known to be no more than a wrapper of one. */
  server?(): Identity | undefined;
}

const ownChildren = new Set<number>();

type Stdio = number | "inherit" | "ignore";

interface StartOptions {
  cwd?: string;
  env: Record<string, string>;
  stdio: readonly Stdio[];
}

/** Bun.spawn in a session of its own, known to the reaper. */
export function startOwn(words: string[], options: StartOptions): Subprocess {
  let child = start(words, options);
  for (let again = 0; again < MAX_STILLBORN && isStillborn(child.pid); again++) child = start(words, options);
  return child;
}

/** As `startOwn`, with the rights of that account; `options.env` is what the program gets. */
export function startAs(
  { user, group }: Account,
  argv: readonly string[],
  options: StartOptions,
): Subprocess {
  const { words, env } = trampoline({ user, group, argv, env: options.env });
  return startOwn(words, { ...options, env });
}

/** Each try needs another SIGHUP within some 50 microseconds to fail: only a storm without a pause can bring this many in a row. */
const MAX_STILLBORN = 100;
/** Far longer than a process needs to end. */
const BIRTH_MS = 200;

/**
 * A SIGHUP for our whole process group (a closing terminal, kill -HUP -PGID) also reaches a child between its vfork(2) and
 * its setsid(2). The runtime has blocked signals by then and undone their handlers, so the child ends just before its
 * execve(2): it never was the command.
 */
function isStillborn(pid: number): boolean {
  const giveUpAt = performance.now() + BIRTH_MS;
  let birth = birthOf(pid);
  while (birth === "on its way" && performance.now() < giveUpAt) birth = birthOf(pid);
  return typeof birth === "object" && (birth.waitStatus & 0x7f) === numbers.signals.SIGHUP;
}

function start(words: string[], { stdio, ...rest }: StartOptions): Subprocess {
  const child = Bun.spawn(words, { ...rest, stdio: [...stdio] as never, detached: true });
  ownChildren.add(child.pid);
  const forget = () => ownChildren.delete(child.pid);
  void child.exited.then(forget, forget);
  return child;
}

/** A child that the runtime waits for: nothing else may take its status. */
export const isOwnChild = (pid: number): boolean => ownChildren.has(pid);

/** Throws HupwatchError with 127 where the command is not found and 126 where it cannot be run. */
export function spawn(request: SpawnRequest): Child {
  requireRunnable(request);
  const stdio = [
    "inherit",
    request.stdout ?? "inherit",
    request.stderr ?? "inherit",
    ...request.descriptors,
  ] as const;
  const { words, env } = trampoline(request);
  const child = orExplain(request, () => startOwn(words, { cwd: request.cwd, env, stdio }));
  return {
    pid: child.pid,
    startTime: processOf(child.pid)?.startTime,
    exited: child.exited.then(
      (): ExitStatus => ({
        code: child.exitCode ?? undefined,
        signal: child.signalCode === null ? undefined : String(child.signalCode),
      }),
    ),
    kill(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return false;
      return sendSignal(child.pid, signal as NodeJS.Signals);
    },
  };
}

export type Question = Pick<SpawnRequest, "argv" | "env" | "cwd" | "user" | "group" | "umask">;

/** Runs it to its end, for `timeoutMs` at most, and returns its output. Throws HupwatchError as `spawn` does. */
export function runToEnd(question: Question, timeoutMs: number) {
  requireRunnable(question);
  const { words, env } = trampoline(question);
  // The runtime's own "pipe" is a socket, which a program cannot open as /dev/stderr: php-fpm's error_log.
  const said = pipe();
  try {
    const { stdout, exitCode, signalCode } = orExplain(question, () =>
      Bun.spawnSync(words, {
        cwd: question.cwd,
        env,
        stdio: ["ignore", "pipe", said.write],
        timeout: timeoutMs,
        maxBuffer: SAID_BYTES_MAX,
      }),
    );
    return { stdout: stdout.toString(), stderr: textIn(said.read), exitCode, signal: signalCode };
  } finally {
    for (const fd of Object.values(said)) close(fd);
  }
}

/** Processes that it left may still write; only what is written by now counts. */
function textIn(pipe: number): string {
  const buffer = new Uint8Array(SAID_BYTES_MAX);
  let length = 0;
  while (length < buffer.length) {
    const read = readAvailable(pipe, buffer.subarray(length));
    if (!read) break;
    length += read;
  }
  return Buffer.from(buffer.subarray(0, length)).toString();
}

const SAID_BYTES_MAX = 4 * 1024 * 1024;

/** Errors of fork(2) and pipe(2), which are not the command's fault. */
const EXHAUSTED: Record<string, [what: string, hint: string]> = {
  EMFILE: [
    "hupwatch has no file descriptors left",
    "raise the limit where hupwatch is started: ulimit -n, LimitNOFILE= of systemd",
  ],
  ENFILE: ["the system has no file descriptors left", "raise fs.file-max (sysctl)"],
  EAGAIN: [
    "this user may start no more processes",
    "raise the limit: ulimit -u, TasksMax= of systemd, --pids-limit of a container",
  ],
  ENOMEM: [
    "there is no memory left for a process",
    "free some, or raise the memory limit of its container or unit",
  ],
};

/** Errors that only execve(2) finds: the file exists and is executable, but cannot be run. */
function orExplain<T>({ argv }: Pick<SpawnRequest, "argv">, start: () => T): T {
  try {
    return start();
  } catch (cause) {
    throw cannotStart(argv[0] ?? "", (cause as NodeJS.ErrnoException).code ?? "?", cause);
  }
}

/** `code` is the errno's name. */
export function cannotStart(word: string, code: string, cause: unknown): HupwatchError {
  const exhausted = EXHAUSTED[code];
  if (exhausted)
    return new HupwatchError("command.exhausted", `cannot start '${word}': ${exhausted[0]} (${code})`, {
      exitCode: EXIT.failed,
      hint: exhausted[1],
      cause,
    });
  const [exitCode, why]: [number, string] =
    code === "ENOENT"
      ? [EXIT.notFound, "the interpreter that its first line names does not exist"]
      : [EXIT.notExecutable, code === "ENOEXEC" ? "it is neither a program nor a script (#!)" : code];
  return new HupwatchError("command.not-executable", `cannot run '${word}': ${why}`, {
    exitCode,
    hint: "correct the file, or put its interpreter before it",
    cause,
  });
}
