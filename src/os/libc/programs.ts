/** Programs that are started, and the one that this process becomes: posix_spawn(3), execve(2). */
import { ptr } from "bun:ffi";
import { constants } from "node:os";
import { close } from "./descriptors.ts";
import { check, cString, cStrings, errno, errnoName, openLibc, SystemError } from "./library.ts";
import { SIGSET_BYTES, signalSet } from "./signal-set.ts";

const C = openLibc({
  _exit: { args: ["int"], returns: "void" },
  execve: { args: ["ptr", "ptr", "ptr"], returns: "int" },
  fcntl: { args: ["int", "int", "int"], returns: "int" },
  posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "int" },
  posix_spawn_file_actions_adddup2: { args: ["ptr", "int", "int"], returns: "int" },
  posix_spawn_file_actions_destroy: { args: ["ptr"], returns: "int" },
  posix_spawn_file_actions_init: { args: ["ptr"], returns: "int" },
  posix_spawnattr_init: { args: ["ptr"], returns: "int" },
  posix_spawnattr_setflags: { args: ["ptr", "i16"], returns: "int" },
  posix_spawnattr_setsigdefault: { args: ["ptr", "ptr"], returns: "int" },
  posix_spawnattr_setsigmask: { args: ["ptr", "ptr"], returns: "int" },
  signal: { args: ["int", "ptr"], returns: "ptr" },
  sigprocmask: { args: ["int", "ptr", "ptr"], returns: "int" },
});

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/**
 * posix_spawn(3): `fds` become 0, 1, 2, ... of the program, which leads a session of its own and has no signal ignored, and none blocked but
 * these. Returns its pid. Throws SystemError.
 */
export function startProgram(
  words: readonly string[],
  env: readonly string[],
  fds: readonly number[],
  blocked: readonly (keyof typeof constants.signals)[] = [],
): number {
  const attributes = new Uint8Array(512);
  const actions = new Uint8Array(256);
  C.posix_spawnattr_init(ptr(attributes));
  C.posix_spawnattr_setflags(
    ptr(attributes),
    POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF,
  );
  C.posix_spawnattr_setsigmask(ptr(attributes), ptr(signalSet(blocked)));
  C.posix_spawnattr_setsigdefault(ptr(attributes), ptr(new Uint8Array(SIGSET_BYTES).fill(0xff, 0, 8)));
  C.posix_spawn_file_actions_init(ptr(actions));
  // Out of the way of the numbers that they are to have.
  const away = fds.map((fd) => check("fcntl(F_DUPFD_CLOEXEC)", C.fcntl(fd, 1030, fds.length + 3)));
  try {
    for (const [number, fd] of away.entries()) C.posix_spawn_file_actions_adddup2(ptr(actions), fd, number);
    const path = cString(words[0] ?? "");
    const argv = cStrings(words);
    const envp = cStrings(env);
    const pid = new Int32Array(1);
    const failed = C.posix_spawn(
      ...([
        ptr(pid),
        ptr(path),
        ptr(actions),
        ptr(attributes),
        ptr(argv.pointers),
        ptr(envp.pointers),
      ] as const),
    );
    if (failed !== 0) throw new SystemError("posix_spawn", errnoName(failed));
    return pid[0] as number;
  } finally {
    C.posix_spawn_file_actions_destroy(ptr(actions));
    for (const fd of away) close(fd);
  }
}

/** Replaces this process. Returns only to throw SystemError. What the runtime ignores for itself is as it was (SIGPIPE, SIGXFSZ). */
export function execute(path: string, argv: readonly string[], env: readonly string[]): never {
  const file = cString(path);
  const words = cStrings(argv);
  const variables = cStrings(env);
  C.signal(constants.signals.SIGPIPE, null);
  C.signal(25, null); // SIGXFSZ
  C.sigprocmask(2, ptr(new Uint8Array(SIGSET_BYTES)), null);
  C.execve(ptr(file), ptr(words.pointers), ptr(variables.pointers));
  throw new SystemError("execve", errno());
}

/** _exit(2): at once, with nothing of the runtime's. */
export function exitNow(code: number): never {
  C._exit(code);
  throw new SystemError("_exit", "EFAULT");
}

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** At an execve(2) it is closed. */
export const closeOnExec = (fd: number): void =>
  void check("fcntl(F_SETFD)", C.fcntl(fd, F_SETFD, FD_CLOEXEC));
/** At an execve(2) the program gets it. */
export const keepOnExec = (fd: number): void => void check("fcntl(F_SETFD)", C.fcntl(fd, F_SETFD, 0));
