/** One vocabulary: what the code says, what the table lists and what the README shows are the same names. */
import { expect, test } from "bun:test";
import { closeSync, fstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import { EVENTS, recordOf, WARNINGS } from "../../src/events/events.ts";
import { logTo, publishTo } from "../../src/events/publish.ts";
import { createLog, isJournal } from "../../src/log.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { ROOT } from "../setup/places.ts";

const sources = readdirSync(`${ROOT}/src`, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(`${ROOT}/src/${name}`, "utf8"))
  .join("\n");

test("every name that the log is given is listed, and every listed one is used", () => {
  const logged = [...sources.matchAll(/\blog\.(?:error|warn|notice|info|debug)\(\s*"([a-z.-]+)"/g)].map(
    (m) => m[1],
  );
  expect(new Set(logged)).toEqual(new Set(Object.keys(WARNINGS)));
  // That each has its words is held by the compiler; that each is told somewhere is held only here.
  const told = new Set([...sources.matchAll(/\bevent: (?:"([a-z.-]+)"|`generation\.\$)/g)].map((m) => m[1]));
  const byDeath = ["generation.crashed", "generation.start-failed", "generation.unreachable"];
  expect(Object.keys(EVENTS).filter((name) => !told.has(name) && !byDeath.includes(name))).toEqual([]);
});

test("the README of the control plane lists them all, with their facts", () => {
  const readme = readFileSync(`${ROOT}/src/control/README.md`, "utf8");
  for (const [name, { facts, meaning }] of Object.entries(EVENTS)) {
    const listed = facts.map((fact) => `\`${fact}\``).join(", ");
    expect(readme).toContain(`| \`${name}\` | ${meaning} | ${listed} |`);
  }
  for (const [name, meaning] of Object.entries(WARNINGS))
    expect(readme).toContain(`| \`${name}\` | ${meaning} |`);
});

test("an event of the stream is the log's JSON line", () => {
  const lines: string[] = [];
  const log = createLog({ level: 3, format: "json", color: false, write: (line) => lines.push(line) });
  const facts = { generation: 2, retired: 1, durationMs: 5 };
  log.info("swap.done", "generation 2 serves", facts);
  const record = recordOf(
    { event: "swap.done", level: "info", text: "generation 2 serves", facts },
    process.pid,
  );
  const { time, ...logged } = JSON.parse(lines[0] ?? "{}");
  expect({ ...logged, time: expect.anything() }).toEqual({ ...record, time: expect.anything() });
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect(Object.keys(JSON.parse(lines[0] ?? "{}"))).toEqual(Object.keys(record));
});

// "One log line for each HUP in a storm of HUPs."
test("a storm of requests is the first one and a number; later one is news again", () => {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line.replace(/^<\d>/, "").trimEnd());
  let now = 0;
  const log = createLog({ level: 3, format: "text", color: false, journal: true, write });
  const tell = publishTo([logTo(log, () => now)]);
  const storm = (times: number) => {
    for (let i = 0; i < times; i++) tell({ event: "swap.queued", behind: 2 });
  };
  const queued = "another swap was requested: it follows after generation 2";
  storm(100);
  tell({ event: "generation.gone", generation: 1, ageMs: 5 });
  storm(2);
  now += 1000;
  storm(1);
  now += 1000;
  storm(1);
  tell({ event: "ignored", what: "SIGUSR1", why: "no generation serves" });
  tell({ event: "ignored", what: "SIGUSR2", why: "no generation serves" });
  expect(lines).toEqual([
    `${queued}`,
    `${queued} (99 times more)`,
    "generation 1 gone",
    `${queued}`,
    `${queued} (2 times more)`,
    `${queued}`,
    "SIGUSR1 ignored: no generation serves",
    "SIGUSR2 ignored: no generation serves",
  ]);
});

test("in systemd's journal a line has its level in front, and neither time nor pid", () => {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  const log = createLog({ level: 4, format: "text", color: false, journal: true, write });
  log.error("swap.rolled-back", "rolled back");
  log.warn("signal.nohup", "ignored");
  log.info("swap.done", "generation 2 serves");
  log.debug("run.plan", "gunicorn");
  expect(lines).toEqual(["<3>rolled back\n", "<4>ignored\n", "<6>generation 2 serves\n", "<7>gunicorn\n"]);
});

test("the journal is what $JOURNAL_STREAM names and this descriptor still is", () => {
  using dir = tempDir();
  const fd = openSync(`${dir.path}/stderr`, "w");
  const { dev, ino } = fstatSync(fd);
  expect(isJournal(`${dev}:${ino}`, fd)).toBe(true);
  expect(isJournal(`${dev}:${ino + 1}`, fd)).toBe(false);
  expect(isJournal(undefined, fd)).toBe(false);
  closeSync(fd);
  expect(isJournal(`${dev}:${ino}`, fd)).toBe(false);
});
