/**
 * Starts a generation's command: in a session of its own, with listeners from descriptor 3 on, and LISTEN_PID being
 * its true pid. A pid is known only after the fork, so `sh` sets the variable and replaces itself by the command:
 * no shell ever reads the command's words, and none stays between us and it.
 */
import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from "node:fs";
import { constants as numbers } from "node:os";
import { delimiter, resolve } from "node:path";
import type { Subprocess } from "bun";
import { EXIT, HupwatchError } from "../error.ts";
import { birthOf, processOf } from "./procfs.ts";
import { canDieWithParent, identityOptions, requireSetpriv, UNLESS_ORPHANED } from "./setpriv.ts";

export interface SpawnRequest {
  argv: readonly string[];
  env: Record<string, string>;
  cwd: string;
  /** Passed as 3, 4, ... in this order. */
  descriptors: readonly number[];
  /** Set LISTEN_PID. */
  listenPid: boolean;
  /** By name or number, with all its groups (setpriv --init-groups); undefined keeps ours. */
  user?: string | undefined;
  group?: string | undefined;
  umask?: number | undefined;
  /** Instead of our own stdout and stderr. */
  stdout?: number | "ignore" | undefined;
  stderr?: number | undefined;
  /** The kernel sends the command SIGKILL when this process ends (prctl(2), PR_SET_PDEATHSIG), if canDieWithParent. */
  dieWithParent: boolean;
}

export interface ExitStatus {
  /** Undefined where a signal ended it. */
  code: number | undefined;
  signal: string | undefined;
}

export interface Child {
  readonly pid: number;
  readonly startTime: number;
  readonly exited: Promise<ExitStatus>;
  /** False where it is gone already. */
  kill(signal: string): boolean;
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

/** Each takes another SIGHUP within some 50 microseconds: only a storm without a pause can bring so many in a row. */
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

/** A child that the runtime waits for: nobody else may take its status. */
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
  const child = orExplain(request, () =>
    startOwn(trampoline(request), { cwd: request.cwd, env: request.env, stdio }),
  );
  return {
    pid: child.pid,
    startTime: processOf(child.pid)?.startTime ?? 0,
    exited: child.exited.then(
      (): ExitStatus => ({
        code: child.exitCode ?? undefined,
        signal: child.signalCode === null ? undefined : String(child.signalCode),
      }),
    ),
    kill(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return false;
      child.kill(signal as NodeJS.Signals);
      return true;
    },
  };
}

/** What fork(2) and pipe(2) lack: no fault of the command. */
const EXHAUSTED: Record<string, [what: string, hint: string]> = {
  EMFILE: [
    "no file descriptors are left to hupwatch",
    "raise the limit where hupwatch is started: ulimit -n, LimitNOFILE= of systemd",
  ],
  ENFILE: ["no file descriptors are left to the system", "raise fs.file-max (sysctl)"],
  EAGAIN: [
    "no processes are left to this user",
    "raise the limit: ulimit -u, TasksMax= of systemd, --pids-limit of a container",
  ],
  ENOMEM: [
    "no memory is left for a process",
    "free some, or raise the memory limit of its container or unit",
  ],
};

/** What only execve(2) can tell: the file is there and executable, and still cannot be run. */
function orExplain({ argv }: SpawnRequest, start: () => Subprocess): Subprocess {
  try {
    return start();
  } catch (cause) {
    const { code = "?" } = cause as NodeJS.ErrnoException;
    const exhausted = EXHAUSTED[code];
    if (exhausted)
      throw new HupwatchError("command.exhausted", `cannot start '${argv[0]}': ${exhausted[0]} (${code})`, {
        exitCode: EXIT.failed,
        hint: exhausted[1],
        cause,
      });
    const [exitCode, why]: [number, string] =
      code === "ENOENT"
        ? [EXIT.notFound, "the interpreter that its first line names is not there"]
        : [EXIT.notExecutable, code === "ENOEXEC" ? "it is neither a program nor a script (#!)" : code];
    throw new HupwatchError("command.not-executable", `cannot run '${argv[0]}': ${why}`, {
      exitCode,
      hint: "correct the file, or put its interpreter before it",
      cause,
    });
  }
}

/** The words that really start. Without a need for the true pid or the parent's death signal: the command itself. */
function trampoline(request: SpawnRequest): string[] {
  const { argv, env, listenPid, umask } = request;
  const dieWithParent = request.dieWithParent && process.pid !== 1 && canDieWithParent();
  const privileges = [...identityOptions(request), ...(dieWithParent ? ["--pdeathsig", "KILL"] : [])];
  if (!listenPid && umask === undefined && privileges.length === 0) return [...argv];
  const steps = [
    dieWithParent ? UNLESS_ORPHANED : "shift;",
    umask === undefined ? "" : `umask ${umask.toString(8)};`,
    listenPid ? "LISTEN_PID=$$; export LISTEN_PID;" : "",
    'exec "$@"',
  ];
  const shell = ["/bin/sh", "-c", steps.filter(Boolean).join(" "), "sh", String(process.pid)];
  const prefix = privileges.length > 0 ? [requireSetpriv(), ...privileges, "--"] : [];
  return [...prefix, ...shell, ...restoreDroppedNames(env), ...argv];
}

/** dash forgets variables whose names are no shell identifiers (`spring.profile=x`): env(1) brings them back. */
function restoreDroppedNames(env: Record<string, string>): string[] {
  const odd = Object.entries(env).filter(([name]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
  return odd.length === 0 ? [] : ["env", "--", ...odd.map(([name, value]) => `${name}=${value}`)];
}

/** Looks the command up as execvp(3) would, from the child's directory and in the child's PATH. */
export function locate({ argv, env, cwd }: Pick<SpawnRequest, "argv" | "env" | "cwd">): string {
  const word = argv[0] ?? "";
  if (!isDirectory(cwd))
    throw new HupwatchError("command.no-directory", `cannot start '${word}': no directory ${cwd}`, {
      exitCode: EXIT.failed,
      hint: "create it, or point --chdir to one that exists",
    });
  // An empty word would name the directories of the PATH themselves.
  const paths = word === "" ? [] : searchPath(word, env, cwd);
  const absolute = word.includes("/") ? [resolve(cwd, word)] : paths;
  const files = absolute.filter(isFile);
  const runnable = files.find(isExecutable);
  if (runnable) return runnable;
  if (files[0])
    throw new HupwatchError("command.not-executable", `cannot run '${word}': ${files[0]} is not executable`, {
      exitCode: EXIT.notExecutable,
      hint: `chmod +x ${files[0]}, or put its interpreter before it`,
    });
  if (absolute.some(isDirectory))
    throw new HupwatchError("command.not-executable", `cannot run '${word}': it is a directory`, {
      exitCode: EXIT.notExecutable,
      hint: "name a program",
    });
  throw new HupwatchError("command.not-found", `command not found: '${word}'`, {
    exitCode: EXIT.notFound,
    hint: word.includes("/")
      ? `put it below ${cwd}, where it is looked for, or correct the path`
      : "install it, or give its path; the PATH has it not",
  });
}

/**
 * As `locate`, and its interpreter is there, too: a virtualenv that was moved or is half there has scripts whose interpreter is
 * missing, of which a shell would only say "not found".
 */
export function requireRunnable(request: Pick<SpawnRequest, "argv" | "env" | "cwd">): void {
  const interpreter = shebangOf(locate(request));
  if (interpreter === undefined || isFile(resolve(request.cwd, interpreter))) return;
  throw new HupwatchError(
    "command.not-executable",
    `cannot run '${request.argv[0]}': ${interpreter}, the interpreter that its first line names, is not there`,
    { exitCode: EXIT.notFound, hint: "make its virtualenv anew, or correct that line" },
  );
}

function shebangOf(path: string): string | undefined {
  const head = Buffer.alloc(256); // BINPRM_BUF_SIZE of execve(2)
  try {
    const fd = openSync(path, "r");
    try {
      readSync(fd, head);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // executable and not readable: no script
  }
  return /^#![ \t]*([^ \t\n\0]+)/.exec(head.toString("latin1"))?.[1];
}

const searchPath = (word: string, env: Record<string, string>, cwd: string): string[] =>
  (env.PATH ?? "/usr/local/bin:/usr/bin:/bin").split(delimiter).map((dir) => resolve(cwd, dir, word));

const isFile = (path: string) => stat(path)?.isFile() ?? false;
const isDirectory = (path: string) => stat(path)?.isDirectory() ?? false;

function stat(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined; // missing, a loop of links, or a file where a directory should be: not runnable either way
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
