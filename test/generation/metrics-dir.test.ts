/** A generation's directory of metrics: whose it is, and that nothing but metrics is ever removed. */
import { expect, test } from "bun:test";
import { chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { makeMetricsDirectory, removeMetricsDirectory } from "../../src/generation/metrics-dir.ts";
import { metricsDirectory, metricsNote } from "../../src/plan/metrics.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";

test("only a value with {gen} is a generation's own", () => {
  expect(metricsDirectory({ PROMETHEUS_MULTIPROC_DIR: "/m/{gen}" }, 7)).toBe("/m/7");
  expect(metricsDirectory({ PROMETHEUS_MULTIPROC_DIR: "/m" }, 7)).toBeUndefined();
  expect(metricsDirectory({}, 7)).toBeUndefined();
});

test("a shared one is told, with the way out", () => {
  expect(metricsNote({ PROMETHEUS_MULTIPROC_DIR: "/m" })).toContain("with /m/{gen} each has");
  expect(metricsNote({ PROMETHEUS_MULTIPROC_DIR: "/m/{gen}" })).toBeUndefined();
  expect(metricsNote({})).toBeUndefined();
});

test("it is empty at the start, whatever an earlier run of that number left", () => {
  using dir = tempDir();
  mkdirSync(`${dir.path}/1`);
  for (const name of ["counter_7.db", "notes.txt"]) writeFileSync(`${dir.path}/1/${name}`, "");
  makeMetricsDirectory(`${dir.path}/1`);
  expect(readdirSync(`${dir.path}/1`)).toEqual(["notes.txt"]);
  removeMetricsDirectory(`${dir.path}/1`);
  expect(readdirSync(`${dir.path}/1`)).toEqual(["notes.txt"]);
});

test.skipIf(process.getuid?.() !== 0)("it belongs to the owner of its place (needs root)", () => {
  using dir = tempDir();
  chownSync(dir.path, 12345, 12346);
  makeMetricsDirectory(`${dir.path}/1`);
  expect(statSync(`${dir.path}/1`)).toMatchObject({ uid: 12345, gid: 12346 });
  removeMetricsDirectory(`${dir.path}/1`);
  expect(readdirSync(dir.path)).toEqual([]);
  removeMetricsDirectory(`${dir.path}/1`);
});

test("where it cannot be made the path is named", () => {
  expect(thrownBy(() => makeMetricsDirectory("/proc/none/1")).message).toContain(
    "PROMETHEUS_MULTIPROC_DIR, /proc/none/1",
  );
});
