/** The releases that are deployed: the fixture app, and where it has to break, a module that is not imported. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { must } from "../command.ts";
import { ROOT } from "../places.ts";

/** Where it does not start: `where spoilt` is on hosts that Host.spoil was called of. */
export type Broken = "nowhere" | "everywhere" | "where spoilt";

/** What a spoilt host has, in its place. */
export const SPOILT = "/srv/app/spoilt";

const CONDITIONS: Readonly<Record<Broken, string>> = {
  nowhere: "False",
  everywhere: "True",
  "where spoilt": `os.path.exists("${SPOILT}")`,
};

export function makeRelease(directory: string, version: string, broken: Broken = "nowhere"): void {
  mkdirSync(directory, { recursive: true });
  cpSync(`${ROOT}/fixtures/apps/wsgi.py`, `${directory}/app.py`);
  writeFileSync(`${directory}/VERSION`, `${version}\n`);
  const wsgi = `import os
if ${CONDITIONS[broken]}:
    raise RuntimeError("release ${version} cannot reach its database")
from app import application
`;
  writeFileSync(`${directory}/wsgi.py`, wsgi);
}

/** Packed as the engines want it: its name is its only directory. */
export const packRelease = (releases: string, version: string): Promise<string> =>
  must(["tar", "-C", releases, "-czf", `${releases}/${version}.tar.gz`, version]);
