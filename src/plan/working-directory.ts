/** Where generations run: a directory as the user means it, with a symlink in it that deploys switch. */
import { lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { which } from "../os/lookup.ts";

/** `$PWD` where it names the same directory as the physical one: a symlink in it is then followed anew each time. */
export function logicalDirectory(cwd: string, pwd: string | undefined): string {
  if (!pwd?.startsWith("/")) return cwd;
  try {
    const [a, b] = [statSync(pwd), statSync(cwd)];
    return a.ino === b.ino && a.dev === b.dev ? pwd : cwd;
  } catch {
    return cwd; // it names nothing that we may look at
  }
}

/**
 * The warning for a directory to which a symlink leads: the starter of hupwatch may have resolved the symlink once and for all
 * (supervisord's `directory=`, systemd's `WorkingDirectory=`). Then every generation would run the release of the first one.
 */
export function releaseNote(directory: string): string | undefined {
  const link = linkTo(directory);
  return link && `every generation runs in ${directory}; if deploys switch ${link}, give --chdir ${link}`;
}

/** The way to `directory` by a symlink beside it or above it: of `current -> releases/41`, to 41 or to a directory in it. */
function linkTo(directory: string): string | undefined {
  for (const target of [directory, dirname(directory)])
    for (const place of [dirname(target), dirname(dirname(target))]) {
      // Those of / are the system's: /bin, /lib.
      if (place === "/") continue;
      const link = symlinksIn(place).find((path) => leadsTo(path, target));
      if (link) return join(link, relative(target, directory));
    }
  return undefined;
}

function symlinksIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isSymbolicLink())
      .map(({ name }) => join(directory, name));
  } catch {
    return []; // not ours to look into
  }
}

function leadsTo(link: string, target: string): boolean {
  try {
    return realpathSync(link) === target;
  } catch {
    return false;
  }
}

/**
 * The warning for a program that PATH finds in the release to which a symlink leads now: an activated virtualenv puts its directory on
 * PATH without the symlink, and later generations would still run that release's interpreter.
 */
export function pathNote(
  program: string,
  directory: string,
  { PATH }: Readonly<Record<string, string>>,
): string | undefined {
  if (program.includes("/") || PATH === undefined) return undefined;
  const found = which(program, PATH);
  for (let place = directory; found && dirname(dirname(place)) !== dirname(place); place = dirname(place)) {
    const release = releaseAt(place);
    if (release === undefined || !found.startsWith(`${release}/`)) continue;
    return `'${program}' is found on PATH in ${dirname(found)}, and so for every release: run ${place}${found.slice(release.length)} instead`;
  }
  return undefined;
}

function releaseAt(link: string): string | undefined {
  try {
    return lstatSync(link).isSymbolicLink() ? realpathSync(link) : undefined;
  } catch {
    return undefined; // not ours to look at
  }
}
