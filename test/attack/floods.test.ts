/** A server that writes, or tells, or forks without an end: hupwatch goes on with its own work. */
import { describe, expect, test } from "bun:test";
import type { StatusAnswer } from "../../src/control/protocol.ts";
import { cli, type Home, home } from "../harness/cli.ts";
import { firstThen } from "../harness/commands.ts";
import { spawnHupwatch } from "../harness/hupwatch.ts";
import { until } from "../harness/until.ts";

/** As several workers do that try something again without a pause. */
const FOUR_WRITERS = `yes "ERROR: no connection to the database" >&2`;
const FLOOD = `sh -c '${[1, 2, 3].map(() => `${FOUR_WRITERS} &`).join(" ")} exec ${FOUR_WRITERS}'`;

async function statusOf(place: Home): Promise<StatusAnswer | undefined> {
  const { stdout } = await cli(["status", "flooded", "--json"], place);
  return stdout === "" ? undefined : (JSON.parse(stdout)[0] as StatusAnswer);
}

/** Until generation 1 serves; its log is nobody's. */
async function started(place: Home, later: string, readyTimeout: string) {
  const options = ["-k", "-w", "0", "--name", "flooded", "--ready-timeout", readyTimeout];
  const command = firstThen("sh -c 'echo up; exec sleep 1000'", later);
  const hupwatch = spawnHupwatch([...options, "--ready", "line:^up$", "--", ...command], {
    env: place.env,
    stderr: "/dev/null",
  });
  await until(async () => (await statusOf(place))?.phase === "serving", { what: "generation 1 to serve" });
  return hupwatch;
}

describe("F1: a new release that floods its stderr", () => {
  test("is rolled back when its time is up, and status is answered meanwhile", async () => {
    using place = home();
    await using hupwatch = await started(place, FLOOD, "6s");
    hupwatch.hup();
    await until(async () => (await statusOf(place))?.phase === "booting", { what: "the swap to begin" });
    const { swaps } = await until(
      async () => {
        const status = await statusOf(place);
        return status && status.swaps.length > 0 ? status : undefined;
      },
      { what: "the rollback" },
    );
    expect(swaps[0]).toMatchObject({ outcome: "rolled-back", generation: 2 });
    expect(swaps[0]?.failure?.reason).toStartWith("not ready within 6.00 s");
    expect(swaps[0]?.failure?.stderr?.at(-1)).toStartWith("ERROR: no connection");
  });

  test("does not keep TERM from stopping everything", async () => {
    using place = home();
    await using hupwatch = await started(place, FLOOD, "60s");
    hupwatch.hup();
    await until(async () => (await statusOf(place))?.phase === "booting", { what: "the swap to begin" });
    hupwatch.signal("SIGTERM");
    await hupwatch.assertTreeGone();
  });
});
