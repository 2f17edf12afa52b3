/**
 * prometheus_client's directory of metrics: one for each generation, so that a scrape counts the processes that live and a new
 * generation's empty start takes nothing from the one that serves.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { gunicorn, gunicornSite } from "../harness/site.ts";

/** The gauge is of a kind that counts dead processes, too: in one directory for all it would only grow. */
const APP = `
import os
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
import wsgi

REQUESTS = Counter("requests", "of this process")
WORKERS = Gauge("workers", "that have served", multiprocess_mode="sum")


def application(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        body = generate_latest(registry)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    REQUESTS.inc()
    WORKERS.set(1)
    return wsgi.application(environ, start_response)
`;

test("a generation's metrics are its own, from the first scrape to the last", async () => {
  using site = gunicornSite();
  const metrics = `${site.path}/metrics`;
  mkdirSync(metrics);
  const port = await freePort();
  const deploy = (version: string) => {
    site.deploy(version);
    writeFileSync(`${site.current}/metered.py`, APP);
  };
  deploy("1");
  const command = gunicorn(`127.0.0.1:${port}`, { which: "pypi" }).map((word) =>
    word === "wsgi:application" ? "metered:application" : word,
  );
  const env = { PROMETHEUS_MULTIPROC_DIR: `${metrics}/{gen}` };
  await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...command], {
    cwd: site.current,
    env,
  });
  const scrape = async (name: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { keepalive: false });
    const text = await answer.text();
    expect(answer.status, text).toBe(200);
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  };
  await using load = await startLoad({ target: `127.0.0.1:${port}`, rate: 100, afterFirstOk: true });
  for (const generation of [2, 3]) {
    await load.more(50);
    expect(await scrape("requests_total")).toBeGreaterThan(10);
    deploy(`${generation}`);
    await hupwatch.swap(generation);
    await load.version(`${generation}`);
    // Those of older generations went with them.
    expect(readdirSync(metrics)).toEqual([`${generation}`]);
    expect(await scrape("workers")).toBeLessThanOrEqual(2);
  }
  const report = await load.stop();
  expect(report).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "3" });
  // The checks' own requests are counted, too, and nobody's of another generation.
  expect(await scrape("requests_total")).toBeGreaterThanOrEqual(report.versions["3"]?.count ?? Infinity);
  expect(await scrape("requests_total")).toBeLessThan(report.ok);

  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  expect(readdirSync(metrics)).toEqual([]);
  expect(existsSync(metrics)).toBe(true);
}, 120_000);
