/** The newest gunicorn, gevent, Django and uv of PyPI in a virtualenv of their own. pip reads its ordinary configuration. */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { CACHE, GUNICORNS, PYTHON, VENV } from "./places.ts";

/** What is asked of PyPI, and a module that is there only where that worked. */
const PACKAGES: Record<string, string> = {
  // The extra brings gevent and what gunicorn's gevent worker needs besides.
  "gunicorn[gevent]": "gunicorn.workers.ggevent",
  django: "django",
  "prometheus-client": "prometheus_client",
  // A runner that stays in front of the server, and makes virtualenvs that can be moved.
  uv: "uv",
};

/** Makes it, or adds what the one that works has not. Throws where pip cannot get the packages. */
export async function makeVirtualenv(): Promise<void> {
  if (!works()) {
    mkdirSync(CACHE, { recursive: true });
    rmSync(VENV, { recursive: true, force: true });
    await run([PYTHON, "-m", "venv", VENV]);
  }
  const missing = missingPackages();
  if (missing.length === 0) return;
  console.log(`setup: the newest ${missing.join(", ")} of PyPI, for the tests only`);
  await run([`${VENV}/bin/python`, "-m", "pip", "install", "--quiet", "--prefer-binary", ...missing]);
  const still = missingPackages();
  if (still.length > 0 || !works())
    throw new Error(`${VENV} does not work (${still.join(", ")})\nTo fix: rm -r ${VENV}, and try again`);
}

/** The script's first line holds the directory's full path: a checkout that was moved has to make it anew. */
const works = (): boolean =>
  existsSync(GUNICORNS.pypi) && Bun.spawnSync([GUNICORNS.pypi, "--version"]).success;

const missingPackages = (): string[] =>
  Object.entries(PACKAGES).flatMap(([name, module]) =>
    Bun.spawnSync([`${VENV}/bin/python`, "-c", `import ${module}`], { stderr: "ignore" }).success ? [] : name,
  );

async function run(command: string[]): Promise<void> {
  const exitCode = await Bun.spawn(command, { stdio: ["ignore", "inherit", "inherit"] }).exited;
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}`);
}
