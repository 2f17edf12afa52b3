/** The judgement on a fleet must be able to say no; and the files that it reads are read as they are. */
import { describe, expect, test } from "bun:test";
import { readDeploy } from "../../docker/rig/fleet/ansible.ts";
import { configFor, readAnswers } from "../../docker/rig/fleet/balancer.ts";
import type { Seen } from "../../docker/rig/fleet/host.ts";
import {
  deployFaults,
  hostFaults,
  loadFaults,
  releaseFaults,
  type Scene,
} from "../../docker/rig/fleet/verdict.ts";

const seen = (name: string, release: string, swapped: number): Seen => ({
  name,
  linked: release,
  serves: release,
  swapped,
  rolledBack: 0,
  releases: ["1", "2"],
});

/** As a good deploy is measured. The parts of the report that nobody here reads are left out. */
function good(): Scene {
  const load = {
    mode: "fresh",
    startedAt: "1970-01-01T00:00:00Z",
    scheduled: 101,
    started: 100,
    ok: 100,
    failed: 0,
    missed: 1,
    failureRecords: [],
  };
  return {
    loads: [{ ...load, generator: { limited: false, reasons: [] } }] as unknown as Scene["loads"],
    answers: new Map([["id-1", { host: "host1", retries: 0 }]]),
    before: [seen("host1", "1", 4), seen("host2", "1", 0)],
    after: [seen("host1", "2", 5), seen("host2", "2", 1)],
  };
}
const expected = () => ({ release: "2", swapped: 1 });
const faultsOf = (scene: Scene) => [...loadFaults(scene), ...hostFaults(scene, expected)].join("\n");
const load = (scene: Scene) => scene.loads[0] as (typeof scene.loads)[number];
const drop = (scene: Scene) =>
  Object.assign(load(scene), {
    ok: 99,
    failed: 1,
    failureRecords: [{ id: "id-1", class: "reset", startedMs: 1500 }],
  });

test("what is good is good", () => expect(faultsOf(good())).toBe(""));

const spoilt: [string, (scene: Scene) => void, RegExp][] = [
  ["one dropped request", drop, /^dropped, and it was host1's: .*"id-1"/],
  [
    "a host that dies, and another one's request",
    (s) => {
      drop(s);
      s.death = { host: "host2", atMs: 2000 };
    },
    /it was host1's/,
  ],
  [
    "a request that HAProxy knows nothing of",
    (s) => {
      drop(s);
      s.death = { host: "host1", atMs: 2000 };
      s.answers = new Map([["id-2", { host: "host1", retries: 0 }]]);
    },
    /no host's/,
  ],
  [
    "a request that was sent to a dead host",
    (s) => {
      drop(s);
      s.death = { host: "host1", atMs: 1400 };
    },
    /^dropped 100 ms after host1 died/,
  ],
  [
    "drops without a record",
    (s) => Object.assign(load(s), { ok: 98, failed: 2 }),
    /2 requests dropped of which/,
  ],
  ["a request that nobody knows of", (s) => Object.assign(load(s), { ok: 99 }), /some are lost/],
  ["no request at all", (s) => Object.assign(load(s), { scheduled: 1, started: 0, ok: 0 }), /no request was/],
  ["the load at its limit", (s) => Object.assign(load(s).generator, { limited: true }), /load was the limit/],
  [
    "a second try",
    (s) => Object.assign(s, { answers: new Map([["i", { host: "host1", retries: 1 }]]) }),
    /try 1 requests a second/,
  ],
  ["a log without requests", (s) => Object.assign(s, { answers: new Map() }), /log names no request/],
  [
    "a host that was left out",
    (s) => Object.assign(s.after[1] as Seen, seen("host2", "1", 0)),
    /^host2 is .*"1"/,
  ],
  [
    "a host that serves something else than its link",
    (s) => Object.assign(s.after[0] as Seen, { serves: "1" }),
    /^host1/,
  ],
  ["a host that is gone", (s) => Object.assign(s, { after: s.after.slice(1) }), /^host1 is undefined/],
  [
    "a rollback that was hidden",
    (s) => Object.assign(s.after[0] as Seen, { rolledBack: 1 }),
    /"rolledBack":1/,
  ],
];

test.each(spoilt)("%s is a fault", (_, spoil, fault) => {
  const scene = good();
  spoil(scene);
  expect(faultsOf(scene)).toMatch(fault);
});

test("what a dead host had in flight is none, and what found it dead is not", () => {
  const scene = { ...good(), death: { host: "host1", atMs: 2000 }, after: [seen("host2", "2", 1)] };
  drop(scene);
  scene.answers = new Map([...scene.answers, ["id-2", { host: "host2", retries: 1 }]]);
  expect(faultsOf(scene)).toBe("");
});

test("a release that came to a host behind the bad one is a fault", () => {
  const scene = good();
  (scene.after[1] as Seen).releases.push("3");
  expect(releaseFaults(scene, (number) => number > 1)).toEqual([
    "host2 was touched: it has the releases 1, 2, 3",
  ]);
  expect(releaseFaults(scene, () => false)).toEqual([]);
});

describe("what is read", () => {
  const recap =
    "host1   : ok=3    changed=1    unreachable=0    failed=1    skipped=1    rescued=1    ignored=0   ";

  test("a recap, and a deploy without one is a fault", () => {
    const deploy = readDeploy({ code: 2, stdout: `fatal: no\nPLAY RECAP ****\n${recap}\n`, stderr: "" });
    expect(deploy.changed).toEqual({ host1: 1 });
    expect(deploy.recap).toEqual([recap.trimEnd()]);
    expect(deployFaults(deploy, { code: "not 0", says: /^fatal/ })).toEqual([]);
    expect(deployFaults(deploy, { code: "0" }).join()).toStartWith("the deploy has exit code 2");
    expect(deployFaults(deploy, { code: "not 0", says: /why/ }).join()).toStartWith(
      "the deploy does not say /why/",
    );
    const none = readDeploy({ code: 0, stdout: "", stderr: "" });
    expect(deployFaults(none, { code: "0" }).join()).toStartWith("the deploy has no recap");
  });

  test("HAProxy's log, by the format of the file", () => {
    const log = `[NOTICE]   (7) : haproxy version is 2.6.12
-- 200 host2 fleet 0+1+1 ms, 0 retries, id ab-0000000001
-- 200 host3 fleet 1001+2+1003 ms, +2 retries, id ab-0000000002
SC 503 <NOSRV> fleet -1+-1+3004 ms, 3 retries, id ab-0000000003
`;
    expect([...readAnswers(log)]).toEqual([
      ["ab-0000000001", { host: "host2", retries: 0 }],
      ["ab-0000000002", { host: "host3", retries: 2 }],
      ["ab-0000000003", { host: "<NOSRV>", retries: 3 }],
    ]);
  });

  test("HAProxy's file, with the hosts that are there", () => {
    const servers = (hosts: number) => configFor(hosts).match(/^ {2}server \S+/gm);
    expect(servers(2)).toEqual(["  server host1", "  server host2"]);
    expect(configFor(2)).toContain("default-server check");
  });
});
