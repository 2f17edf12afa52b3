/** The tester is tested: every fault we know is found, under its own name, and nothing else is. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { FAILURE_CLASSES } from "../../src/load/outcome.ts";
import { CLIENT_FAULTS } from "../faults/clients.ts";
import { detect, detectAtListener, detectByClients } from "../faults/detect.ts";
import { FAULTS } from "../faults/faults.ts";
import { LISTENER_FAULTS } from "../faults/listeners.ts";
import { FaultServer } from "../faults/server.ts";

describe("faults of the answer", () => {
  for (const [name, fault] of Object.entries(FAULTS))
    for (const transport of fault.transports)
      test(`${name}, ${transport}: ${fault.class}`, async () => {
        for (const kind of fault.kinds) {
          const { injected, found, result, received } = await detect(fault, transport, kind);
          expect(injected).toBe(6);
          expect(result.failures).toHaveLength(1);
          expect(found).toBe(injected);
          expect(result.failed).toBe(injected);
          // No second try: the server got what we say we sent, each id once.
          expect(received.length).toBe(result.started);
          expect(new Set(received).size).toBe(received.length);
        }
      });
});

describe("faults of the listener", () => {
  for (const [name, fault] of Object.entries(LISTENER_FAULTS))
    test(`${name}: ${fault.class}`, async () => {
      const { injected, found, result } = await detectAtListener(fault);
      expect(result.failures).toHaveLength(1);
      expect(found).toBe(injected);
      expect(result.started).toBe(injected);
    });
});

describe("clients that take their time", () => {
  for (const [name, fault] of Object.entries(CLIENT_FAULTS))
    for (const transport of fault.transports)
      test(`${name}, ${transport}: ${fault.found?.class ?? "nothing found"}`, async () => {
        const { started, failures, kinds } = await detectByClients(fault, transport);
        expect({ started, kinds: Object.keys(kinds) }).toEqual({ started: 8, kinds: [fault.kind] });
        const wanted = fault.found && { ...fault.found, kind: fault.kind, reused: false, count: 8 };
        expect(failures).toEqual(wanted ? [wanted] : []);
      });
});

describe("a generator without descriptors blames itself, not the server", () => {
  for (const transport of ["unix", "tcp"] as const)
    test(transport, async () => {
      using server = new FaultServer(transport, () => {}, 1);
      const starved = join(import.meta.dir, "../faults/starved.ts");
      const run = Bun.spawn(["sh", "-c", `ulimit -n 40; exec bun "$0" "$1"`, starved, server.target], {
        stdout: "pipe",
      });
      const { verdict, classes } = JSON.parse(await run.stdout.text());
      expect(classes).toEqual(["local-limit", "timeout"]);
      expect(verdict).toBe("limited");
    });
});

test("no class is without a fault that must be found", () => {
  const named = [...Object.values(FAULTS), ...Object.values(LISTENER_FAULTS)].map((f) => f.class);
  const tried = new Set([...named, ...Object.values(CLIENT_FAULTS).map((f) => f.found?.class)]);
  const untried = Object.keys(FAILURE_CLASSES).filter((name) => !tried.has(name as never));
  // It has a test of its own above.
  expect(untried).toEqual(["local-limit"]);
});
