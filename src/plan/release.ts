/**
 * A generation stays in the release that it was started in. Workers start late, or anew (max_requests, a crash), and while a
 * rolled back release is still what `current` points to they would import it among workers that run the one before.
 */
import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { ReleasePaths } from "../servers/adapter.ts";

/** Its present target. If it does not exist, the path as it was written: the start of the generation reports that. */
export function physical(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return directory;
  }
}

/** The target of a path; the path itself if it has no symlink in it except those of the system in / (/bin, /lib). */
function ledTo(path: string, directory: string, real: (given: string) => string = physical): string {
  const given = resolve(physical(directory), path);
  const top = join("/", given.split("/")[1] ?? "");
  const viaTop = join(physical(top), given.slice(top.length));
  const found = real(given);
  return found === given || found === viaTop ? path : found;
}

/**
 * The command, with the symlinks in its program's directory resolved: Python looks for its packages from there. The program's own name
 * stays even if it is a symlink, since a virtualenv is recognised by it. Options that lead to a release are resolved, too.
 */
export function pinned(
  [program = "", ...words]: readonly string[],
  directory: string,
  paths: ReleasePaths = NO_PATHS,
): string[] {
  const rest = pinnedOptions(words, directory, paths);
  if (!program.includes("/")) return [program, ...rest];
  return [ledTo(program, directory, (path) => join(physical(dirname(path)), basename(path))), ...rest];
}

export const NO_PATHS: ReleasePaths = { directories: [] };

/** `--chdir X`, `--chdir=X`, up to a `--`; and what `env` is told of a search path. */
function pinnedOptions(
  words: readonly string[],
  directory: string,
  { directories, lists = [] }: ReleasePaths,
): string[] {
  const end = words.indexOf("--") < 0 ? words.length : words.indexOf("--");
  const ledValue = (option: string, value: string) => {
    if (directories.includes(option)) return ledTo(value, directory);
    if (lists.includes(option)) return pinnedList(value, ",", directory);
    return SEARCH_PATHS.includes(option) ? pinnedList(value, ":", directory) : value;
  };
  return words.map((word, i) => {
    const [, option, value] = /^(--[\w-]+|\w+)=(.*)$/s.exec(word) ?? [];
    if (option !== undefined && i < end) return `${option}=${ledValue(option, value ?? "")}`;
    const before = words[i - 1];
    return before?.startsWith("--") && i < end ? ledValue(before, word) : word;
  });
}

/** Where runtimes look for what is imported, also late. */
const SEARCH_PATHS = ["PYTHONPATH", "RUBYLIB", "PERL5LIB", "NODE_PATH"];

const pinnedList = (value: string, separator: string, directory: string): string =>
  value
    .split(separator)
    .map((path) => (path.startsWith("/") ? ledTo(path, directory) : path))
    .join(separator);

/** The search paths of an environment, each entry as what it leads to. */
export const pinnedSearchPaths = (
  env: Readonly<Record<string, string>>,
  directory: string,
): Record<string, string> =>
  Object.fromEntries(
    SEARCH_PATHS.flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, pinnedList(value, ":", directory)]];
    }),
  );
