/** The newest gunicorn and gevent of PyPI in a virtualenv of their own. pip reads its ordinary configuration. */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { CACHE, GUNICORNS, PYTHON, VENV } from "./places.ts";

/** The extra brings gevent and what gunicorn's gevent worker needs besides. */
const PACKAGE = "gunicorn[gevent]";

/** Makes it, or keeps the one that works. Throws where pip cannot get the packages. */
export function makeVirtualenv(): void {
  if (works()) return;
  console.log(`setup: the newest ${PACKAGE} of PyPI, for the tests only`);
  mkdirSync(CACHE, { recursive: true });
  rmSync(VENV, { recursive: true, force: true });
  run([PYTHON, "-m", "venv", VENV]);
  run([`${VENV}/bin/python`, "-m", "pip", "install", "--quiet", "--prefer-binary", PACKAGE]);
  if (!works()) throw new Error(`${GUNICORNS.pypi} does not run\nTo fix: rm -r ${VENV}, and try again`);
}

function works(): boolean {
  if (!existsSync(GUNICORNS.pypi)) return false;
  const probe = Bun.spawnSync([`${VENV}/bin/python`, "-c", "import gunicorn.workers.ggevent"]);
  // The script's first line holds the directory's full path: a checkout that was moved has to make it anew.
  return probe.success && Bun.spawnSync([GUNICORNS.pypi, "--version"]).success;
}

function run(command: string[]): void {
  const done = Bun.spawnSync(command, { stdio: ["ignore", "inherit", "inherit"] });
  if (!done.success) throw new Error(`${command.join(" ")}: exit code ${done.exitCode}`);
}
