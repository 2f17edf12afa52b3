/** F2 of src/os/README.md: a directory of metrics, by a name of the command's user's choice. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { makeMetricsDirectory, removeMetricsDirectory } from "../../src/generation/metrics-dir.ts";
import { spawnHupwatch } from "../harness/hupwatch.ts";
import { thrownBy } from "../harness/thrown.ts";
import { PYTHON } from "../setup/places.ts";
import { APP, type Ground, ground, hasPeople, pythonAs, ROOT_USER, SERVER, STRANGER } from "./people.ts";

const LINK = `import os,sys; os.symlink(sys.argv[1], sys.argv[2])`;

function victimIn(place: Ground): string {
  const victim = place.directory("victim", ROOT_USER);
  writeFileSync(`${victim}/data.db`, "precious");
  return victim;
}
function untouched(victim: string): void {
  expect(statSync(victim)).toMatchObject({ uid: 0, gid: 0 });
  expect(readdirSync(victim)).toEqual(["data.db"]);
}

describe.skipIf(!hasPeople)("F2: root and the directory of metrics", () => {
  // Before: the victim belonged to nobody, and its data.db was gone.
  test.each([
    ["the directory itself", (app: string) => `${app}/2`, "2"],
    ["a directory on the way", (app: string) => `${app}/2/victim`, ""],
  ])("a symlink of the command's user in place of %s leads nowhere", (_, pathIn, where) => {
    for (const user of [APP, undefined]) {
      using place = ground();
      const victim = victimIn(place);
      const app = place.directory("app", APP);
      pythonAs(APP, LINK, where === "2" ? victim : place.path, `${app}/2`);
      expect(thrownBy(() => makeMetricsDirectory(pathIn(app), user))).toMatchObject({
        code: "metrics.unwritable",
      });
      removeMetricsDirectory(pathIn(app), user);
      untouched(victim);
    }
  });

  test("an environment that names a directory of another user's gets nothing made, given or emptied", () => {
    using place = ground();
    const theirs = place.directory("theirs", STRANGER);
    mkdirSync(`${theirs}/1`);
    writeFileSync(`${theirs}/1/data.db`, "precious");
    for (const path of [`${theirs}/1`, `${theirs}/2`, `${place.path}/3`]) {
      const error = thrownBy(() => makeMetricsDirectory(path, APP));
      expect(error.message).toContain("and the command runs as user 65534");
      removeMetricsDirectory(path, APP);
    }
    expect(readdirSync(`${theirs}/1`)).toEqual(["data.db"]);
    expect(readdirSync(theirs)).toEqual(["1"]);
  });

  test("root's own directory in the user's is not given away, nor what another user has made in /tmp", () => {
    using place = ground();
    const app = place.directory("app", APP);
    mkdirSync(`${app}/1`);
    expect(thrownBy(() => makeMetricsDirectory(`${app}/1`, APP)).message).toContain("belongs to user 0");
    const tmp = place.directory("tmp", ROOT_USER, 0o1777);
    pythonAs(STRANGER, `import os,sys; os.mkdir(sys.argv[1])`, `${tmp}/1`);
    expect(thrownBy(() => makeMetricsDirectory(`${tmp}/1`, APP)).message).toContain("belongs to user 12345");
    makeMetricsDirectory(`${tmp}/2/prometheus`, APP);
    expect(statSync(`${tmp}/2/prometheus`)).toMatchObject({ uid: APP.uid, gid: APP.gid });
  });

  test("by the env file of the command's user no generation starts, and root changes nothing", async () => {
    using place = ground();
    const victim = victimIn(place);
    const app = place.directory("app", APP);
    const server = place.file("server.py", APP, SERVER);
    pythonAs(APP, LINK, victim, `${app}/1`);
    const env = place.file("env", APP, `PROMETHEUS_MULTIPROC_DIR=${app}/{gen}\n`);
    const options = ["-k", "--user", "nobody", "--env-file", env, "-b", `unix:${place.path}/a.sock`];
    await using hupwatch = spawnHupwatch([...options, "--", PYTHON, server], { cwd: place.path });
    expect(await hupwatch.exited).toBe(125);
    expect(hupwatch.log).toContain(`cannot make PROMETHEUS_MULTIPROC_DIR, ${app}/1`);
    untouched(victim);
    expect(existsSync(`${place.path}/a.sock`)).toBe(false);
  });
});
