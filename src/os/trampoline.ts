/**
 * The programs before a command: setpriv(1) for another user, and `sh`, which sets what only a process can set for itself and then
 * replaces itself with the command. No shell ever interprets the command's words, and none stays.
 *
 * If the user changes, setpriv still runs with our rights, and the command's variables may come from a file that the new user can write:
 * LD_PRELOAD or PATH in it would run that user's code as root. So setpriv gets only variables that our own environment has, too. The others
 * travel under names that mean nothing to any program, and get their own names after the change.
 */
import { bytesOf, isPlainText } from "./byte-text.ts";
import {
  type Account,
  canDieWithParent,
  identityOptions,
  requireSetpriv,
  UNLESS_ORPHANED,
} from "./setpriv.ts";

export interface Start extends Account {
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  umask?: number | undefined;
  /** Set LISTEN_PID. */
  listenPid?: boolean;
  /** The kernel sends the command SIGKILL when this process ends (prctl(2), PR_SET_PDEATHSIG), if canDieWithParent. */
  dieWithParent?: boolean;
}

interface Words {
  words: string[];
  env: Record<string, string>;
}

/** By its path: the command's PATH says nothing about helpers of ours. */
const envProgram = () => Bun.which("env") ?? "/usr/bin/env";

/** In front of a variable's name until the user has changed. */
const MOVED = "HUPWATCH_MOVED_";

/** The words that really start, with their environment. Without a need for any of it: the command itself. */
export function trampoline(start: Start): Words {
  const { argv, env, listenPid, umask } = start;
  const dieWithParent = start.dieWithParent === true && process.pid !== 1 && canDieWithParent();
  const identity = identityOptions(start);
  const privileges = [...identity, ...(dieWithParent ? ["--pdeathsig", "KILL"] : [])];
  const isPlain = [...argv, ...Object.values(env)].every(isPlainText);
  if (!listenPid && umask === undefined && privileges.length === 0 && isPlain)
    return { words: [...argv], env: { ...env } };
  const { carried, restored, byEnv } = identity.length > 0 ? split(env) : withoutBytes(env);
  const words = [...setByEnv(env, byEnv), ...argv];
  const steps = [
    dieWithParent ? UNLESS_ORPHANED : "shift;",
    umask === undefined ? "" : `umask ${umask.toString(8)};`,
    ...restored.map((name) => `export ${name}="$${MOVED}${name}"; unset ${MOVED}${name};`),
    listenPid ? "LISTEN_PID=$$; export LISTEN_PID;" : "",
    execOf(words),
  ];
  const shell = ["/bin/sh", "-c", steps.filter(Boolean).join(" "), "sh", String(process.pid)];
  const prefix = privileges.length > 0 ? [requireSetpriv(), ...privileges, "--"] : [];
  return { words: [...prefix, ...shell, ...words.map(inAscii)], env: carried };
}

/** The runtime can pass no bytes that are not UTF-8: the shell makes them, by printf(1) out of octal numbers. */
const inAscii = (word: string): string =>
  isPlainText(word)
    ? word
    : [...bytesOf(word)]
        .map((byte) =>
          isHarmless(byte) ? String.fromCharCode(byte) : `\\0${byte.toString(8).padStart(3, "0")}`,
        )
        .join("");

/** `%b` takes it as it is: printable, and no backslash. */
const isHarmless = (byte: number): boolean => byte >= 0x20 && byte < 0x7f && byte !== 0x5c;

/** For `sh -c`: it becomes its words. A line break at the end of a word is kept from the command substitution by what follows it. */
function execOf(words: readonly string[]): string {
  const coded = words.flatMap((word, i) => (isPlainText(word) ? [] : [i + 1]));
  if (coded.length === 0) return 'exec "$@"';
  // No variable of the command's begins so, and none of these is exported.
  const decoded = coded.map((n) => `HUPWATCH_${n}=$(printf '%b_' "\${${n}}");`);
  const given = words.map((_, i) => (coded.includes(i + 1) ? `"\${HUPWATCH_${i + 1}%_}"` : `"\${${i + 1}}"`));
  return [...decoded, "exec", ...given].join(" ");
}

/** What the runtime cannot pass is set by env(1). */
function withoutBytes(env: Readonly<Record<string, string>>) {
  const byEnv = Object.keys(env).filter((name) => !isPlainText(env[name] ?? ""));
  const carried = Object.fromEntries(Object.entries(env).filter(([name]) => !byEnv.includes(name)));
  return { carried, restored: [], byEnv };
}

/** What the shell can set itself, and does not set (POSIX, dash(1)) or refuses to set (bash(1)) by itself. */
const SETTABLE =
  /^(?!(?:_|PPID|UID|EUID|OPTIND|LINENO|RANDOM|SRANDOM|SECONDS|EPOCH\w+|SHELLOPTS|BASH\w*|GROUPS|DIRSTACK|FUNCNAME)$)[A-Za-z_][A-Za-z0-9_]*$/;

/** `carried` goes through setpriv, the shell renames what is `restored`, and env(1) sets the rest. */
function split(env: Readonly<Record<string, string>>) {
  const carried: Record<string, string> = {};
  const restored: string[] = [];
  const byEnv: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    // Ours mean nothing to a library, and mark the processes of a generation from the first one on.
    if (!isPlainText(value)) byEnv.push(name);
    else if (process.env[name] === value || name.startsWith("HUPWATCH_")) carried[name] = value;
    else if (SETTABLE.test(name)) {
      carried[MOVED + name] = value;
      restored.push(name);
    } else byEnv.push(name);
  }
  return { carried, restored, byEnv };
}

/** dash forgets variables whose names are not shell identifiers (`spring.profile=x`): env(1) brings them back. */
function setByEnv(env: Readonly<Record<string, string>>, more: readonly string[]): string[] {
  const names = Object.keys(env).filter(
    (name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || more.includes(name),
  );
  return names.length === 0 ? [] : [envProgram(), "--", ...names.map((name) => `${name}=${env[name]}`)];
}
