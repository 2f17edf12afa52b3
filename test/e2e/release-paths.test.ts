/** I8: a generation stays in the release of its start, however the way there is written: a late worker imports no other one. */
import { expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS } from "../setup/places.ts";

/** Release 1, and a broken release 2; `current` leads to the first. */
function releases() {
  const dir = tempDir();
  const place = (n: number) => `${dir.path}/releases/${n}`;
  for (const n of [1, 2]) mkdirSync(place(n), { recursive: true });
  const app = `import os\ndef app(e, s):\n    s("200 OK", [])\n    return [b"release 1 of %d\\n" % os.getpid()]\n`;
  writeFileSync(`${place(1)}/w.py`, app);
  writeFileSync(`${place(2)}/w.py`, "def app(:");
  const current = `${dir.path}/current`;
  const switchTo = (n: number) => {
    rmSync(current, { force: true });
    symlinkSync(`releases/${n}`, current);
  };
  switchTo(1);
  return { path: dir.path, current, switchTo, [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

type Site = ReturnType<typeof releases>;
const WAYS: [name: string, words: (site: Site) => string[], env: (site: Site) => Record<string, string>][] = [
  ["--chdir", ({ current }) => ["--chdir", current], () => ({})],
  ["--pythonpath", ({ current }) => ["--pythonpath", current], () => ({})],
  [
    "chdir in the config file",
    ({ path, current }) => {
      writeFileSync(`${path}/conf.py`, `chdir = "${current}"\n`);
      return ["-c", `${path}/conf.py`];
    },
    () => ({}),
  ],
  ["PYTHONPATH", () => [], ({ current }) => ({ PYTHONPATH: current })],
];

// https://github.com/benoitc/gunicorn/issues/1475
test.each(WAYS)(
  "gunicorn, %s: after a rollback from a broken release its late workers serve the old one",
  async (_, words, env) => {
    using site = releases();
    const socket = `${site.path}/app.sock`;
    const gunicorn = [
      GUNICORNS.debian,
      ...words(site),
      "--max-requests",
      "3",
      "-w",
      "1",
      "-b",
      `unix:${socket}`,
    ];
    await using hupwatch = await startHupwatch(["-k", "-w", "0.1", "--", ...gunicorn, "w:app"], {
      cwd: "/",
      env: env(site),
    });
    site.switchTo(2);
    hupwatch.hup();
    await hupwatch.until(LOG.rolledBack);
    // Each lives for three requests: the second one has begun after the switch.
    const workers = new Set<string>();
    await until(
      async () => {
        const alone = { headers: { connection: "close" }, keepalive: false, unix: socket };
        const answer = await (await fetch("http://x/", alone)).text();
        expect(answer).toMatch(/^release 1 of \d+\n$/);
        workers.add(answer);
        return workers.size >= 2;
      },
      { what: "a late worker to answer", context: () => hupwatch.log },
    );
  },
  120_000,
);
