/** A state file that cannot be understood is no state file, said in one warning; another instance's is nobody's business. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { cli, type Home, home } from "../harness/cli.ts";
import { type Hupwatch, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { ROOT } from "../setup/places.ts";

setDefaultTimeout(120_000);

const WORKER = ["-k", "-w", "0", "--ready", "delay:0", "--name", "shop", "--", "sleep", "1000"];
const SERVER = [
  "--name",
  "shop",
  "-b",
  "unix:app.sock",
  "--",
  process.execPath,
  `${ROOT}/fixtures/apps/tiny.ts`,
];

/** As hupwatch writes it, but for what `wrong` says. */
const state = (wrong: object, generation: object = {}, listener: object = {}) =>
  JSON.stringify({
    version: 1,
    name: "shop",
    hupwatch: { pid: 1, startTime: 1 },
    last: 1,
    generations: [
      {
        ...{ number: 1, hupwatchPid: 1, pid: 4_000_000, startTime: 1, role: "serving" },
        listeners: [{ address: "unix:/x", inode: 1, group: [1], privatePath: "/y", ...listener }],
        ...generation,
      },
    ],
    ...wrong,
  });

function runDirOf(place: Home): string {
  const path = `${place.path}/hupwatch`;
  mkdirSync(path, { mode: 0o700 });
  return path;
}

const warnings = ({ log }: Hupwatch) =>
  (log.match(/warn: .*/g) ?? []).filter((line) => line.includes("cannot read "));

const STRANGE = "its format is not that of this version of hupwatch";
const rows: [what: string, make: (path: string) => unknown, why: string][] = [
  ["an empty one", (path) => writeFileSync(path, ""), "JSON Parse error"],
  ["half of one", (path) => writeFileSync(path, state({}).slice(0, 100)), "JSON Parse error"],
  ["garbage", (path) => writeFileSync(path, crypto.getRandomValues(new Uint8Array(500))), "JSON Parse error"],
  ["a later version's", (path) => writeFileSync(path, state({ version: 2 })), STRANGE],
  ["no object", (path) => writeFileSync(path, "[]"), STRANGE],
  ["no hupwatch", (path) => writeFileSync(path, state({ hupwatch: null })), STRANGE],
  ["a generation that is none", (path) => writeFileSync(path, state({ generations: [null] })), STRANGE],
  ["a pid that is none", (path) => writeFileSync(path, state({}, { pid: -1 })), STRANGE],
  ["no listeners", (path) => writeFileSync(path, state({}, { listeners: undefined })), STRANGE],
  ["an inode that is none", (path) => writeFileSync(path, state({}, {}, { inode: "1" })), STRANGE],
  ["a group that is none", (path) => writeFileSync(path, state({}, {}, { group: 1 })), STRANGE],
  ["a named pipe", (path) => Bun.spawnSync(["mkfifo", path]), "it is not a file"],
  [
    "2 MiB",
    (path) => {
      writeFileSync(path, state({}));
      truncateSync(path, 2 * 1024 * 1024);
    },
    "it has 2097152 bytes",
  ],
];

describe("if no service is left, the start goes on", () => {
  test.each(rows)("%s", async (_, make, why) => {
    using place = home();
    const path = `${runDirOf(place)}/shop.json`;
    make(path);
    await using hupwatch = await startHupwatch(WORKER, { env: place.env });
    expect(warnings(hupwatch)).toEqual([
      expect.stringMatching(new RegExp(`^warn: cannot read ${path}: ${why}.*is sought at its addresses$`)),
    ]);
    expect((await cli(["status", "shop"], place)).exitCode).toBe(0);
  });

  test("none at all, and one of a hupwatch that is over: nothing is said", async () => {
    for (const text of [undefined, state({})]) {
      using place = home();
      const path = `${runDirOf(place)}/shop.json`;
      if (text !== undefined) writeFileSync(path, text);
      await using hupwatch = await startHupwatch(WORKER, { env: place.env });
      expect(warnings(hupwatch)).toEqual([]);
    }
  });
});

test("another instance's hinders no start and no status", async () => {
  using place = home();
  const runDir = runDirOf(place);
  for (const [i, [, make]] of rows.entries()) make(`${runDir}/other-${i}.json`);
  await using hupwatch = await startHupwatch(WORKER, { env: place.env });
  expect(warnings(hupwatch)).toEqual([]);
  const { exitCode, stdout } = await cli(["status"], place);
  expect(stdout).toStartWith("shop   serving");
  expect(exitCode).toBe(0);
});

test("I7: a generation that was left is never joined by a second one, and is taken over by what it carries", async () => {
  using place = home();
  const start = { cwd: place.path, env: place.env };
  await using first = await startHupwatch(SERVER, start);
  first.signal("SIGKILL");
  await first.exited;
  writeFileSync(`${place.path}/hupwatch/shop.json`, "{");
  await using second = spawnHupwatch(["-k", ...SERVER], start);
  await second.until(LOG.servesAny);
  expect(warnings(second)).toEqual([
    expect.stringContaining(`${place.path}/hupwatch/shop.json: JSON Parse error`),
  ]);
  expect(second.log).toMatch(LOG.tookOver(1));
  await second.until(LOG.gone(1));
  expect((await fetch("http://x/", { unix: `${place.path}/app.sock` })).status).toBe(200);
});
