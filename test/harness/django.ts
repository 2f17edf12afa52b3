/** Releases of a Django project as deploy tools lay them out: a virtualenv, a `.env` and templates in each, and `current`. */
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { ROOT, VENV } from "../setup/places.ts";
import { switchTo } from "./site.ts";
import { tempDir } from "./temp-dir.ts";

export interface DjangoSite extends Disposable {
  /** Stays from release to release. */
  path: string;
  current: string;
  /** Makes a release; `current` does not lead there yet. */
  release(version: string): string;
  switchTo(version: string): void;
  delete(version: string): void;
  /** What a release answers. */
  page(version: string): string;
}

export function djangoSite(): DjangoSite {
  const dir = tempDir();
  const current = `${dir.path}/current`;
  const at = (version: string) => `${dir.path}/releases/${version}`;
  return {
    path: dir.path,
    current,
    release(version) {
      const path = at(version);
      mkdirSync(`${path}/templates`, { recursive: true });
      copyFileSync(`${ROOT}/fixtures/apps/django_site.py`, `${path}/django_site.py`);
      writeFileSync(`${path}/VERSION`, version);
      writeFileSync(`${path}/.env`, `SECRET_KEY=secret-${version}\nGREETING="hello of ${version}"\n`);
      writeFileSync(
        `${path}/templates/page.html`,
        `template ${version}: {{ version }}, {{ greeting }}, {{ prefix }}\n`,
      );
      // As it is written for one place: what it says of its directory is the release's, and the link leads out of it.
      writeFileSync(`${path}/gunicorn.conf.py`, "import os\n\npidfile = os.getcwd() + '/pids/g.pid'\n");
      mkdirSync(`${dir.path}/shared/pids`, { recursive: true });
      symlinkSync("../../shared/pids", `${path}/pids`);
      virtualenvIn(path);
      return path;
    },
    switchTo: (version) => switchTo(`releases/${version}`, current),
    delete: (version) => rmSync(at(version), { recursive: true }),
    page: (version) => `template ${version}: ${version}, hello of ${version}, ${at(version)}/venv\n`,
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/** A real one, with an interpreter and a script of its own; the packages are those of the tests' virtualenv, by a .pth file. */
function virtualenvIn(release: string): void {
  const made = Bun.spawnSync([`${VENV}/bin/python`, "-m", "venv", "--without-pip", `${release}/venv`]);
  if (!made.success) throw new Error(`no virtualenv: ${made.stderr}`);
  const [python = ""] = readdirSync(`${VENV}/lib`);
  appendFileSync(
    `${release}/venv/lib/${python}/site-packages/shared.pth`,
    `${VENV}/lib/${python}/site-packages\n`,
  );
  // As pip writes them.
  for (const [name, module, main] of [
    ["gunicorn", "gunicorn.app.wsgiapp", "run"],
    ["gunicornc", "gunicorn.ctl.cli", "main"],
  ]) {
    const script = `#!${release}/venv/bin/python\nfrom ${module} import ${main}\n\n${main}()\n`;
    writeFileSync(`${release}/venv/bin/${name}`, script, { mode: 0o755 });
  }
}
