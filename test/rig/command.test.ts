/** The rig's deadlines must hold, also for what a program has started. */
import { expect, test } from "bun:test";
import { run } from "../../docker/rig/command.ts";
import { readProcess } from "../harness/processes.ts";
import { until } from "../harness/until.ts";

test("what a program started is over with it, and does not keep us waiting", async () => {
  const { code, stdout, stderr } = await run(["sh", "-c", "sleep 1000 & echo $!; wait"], { timeoutMs: 300 });
  expect(code).not.toBe(0);
  expect(stderr).toEndWith("not done after 0.3 s: killed");
  const states = [undefined, "Z", "X"];
  await until(() => states.includes(readProcess(Number(stdout))?.state), { what: "its child to end" });
});

test("what is done in time says so", async () => {
  expect(await run(["sh", "-c", "echo out; echo err >&2; exit 3"])).toEqual({
    code: 3,
    stdout: "out\n",
    stderr: "err\n",
  });
});
