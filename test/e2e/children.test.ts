/** Commands that misbehave, one way each (fixtures/children), and what hupwatch makes of it. */
import { describe, expect, test } from "bun:test";
import { child, firstThen, TINY } from "../harness/commands.ts";
import { type Hupwatch, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { readProcess } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const TIMEOUT_MS = 120_000;
const rolledBack = (hupwatch: Hupwatch) =>
  hupwatch.until(LOG.rolledBack).then(() => hupwatch.until(LOG.gone(2)));

describe("I8: the old generation goes on, and no client notices, when the new one", () => {
  test.each([
    ["dies early", child("dies-early.sh"), /code 3/],
    ["ends early as if all were well", child("exits-0-at-once.sh"), /code 0/],
    ["is never ready", child("never-ready.ts"), /not ready/],
  ])(
    "%s",
    async (_, later, reason) => {
      using dir = tempDir();
      const bind = `unix:${dir.path}/s`;
      const options = ["-k", "-w", "0.2", "--ready-timeout", "4s", "-b", bind];
      await using hupwatch = await startHupwatch([...options, "--", ...firstThen(TINY, later)]);
      await using load = await startLoad({ target: bind, versions: ["1"] });
      hupwatch.hup();
      await rolledBack(hupwatch);
      expect(hupwatch.log).toMatch(reason);
      await load.more(200);
      expect(await load.stop()).toMatchObject({ failures: {} });
    },
    TIMEOUT_MS,
  );
});

test.each(["unix", "tcp"])(
  "a generation that dies in its warm-up is rolled back, and clients are served again at once (%s)",
  async (kind) => {
    using dir = tempDir();
    const bind = kind === "unix" ? `unix:${dir.path}/s` : "127.0.0.1:0";
    const command = firstThen(TINY, child("print-signals.ts"));
    await using hupwatch = await startHupwatch(["-k", "-w", "100", "-b", bind, "--", ...command]);
    const [, target = ""] = await hupwatch.until(/holding (\S+)/);
    await using load = await startLoad({ target, timeoutMs: 30_000 });
    hupwatch.hup();
    await load.version("child");
    process.kill(Number(LOG.started(2).exec(hupwatch.log)?.[1]), "SIGKILL");
    await rolledBack(hupwatch);
    await load.more(200);
    const report = await load.stop();
    expect(report.lastVersion).toBe("1");
    // What it had accepted when it died is lost with it, and what came between its death and the flip back waits in
    // its queue: for each of the four loops one of either. But nobody may be left waiting for a dead one's answer.
    expect(report.failed).toBeLessThanOrEqual(8);
    expect(Object.keys(report.failures).filter((what) => what.includes("ETIMEDOUT"))).toEqual([]);
  },
  TIMEOUT_MS,
);

describe("I5: a stop has its deadline:", () => {
  test("a command that ignores TERM is killed", async () => {
    // On a machine that does much else it is a while until it runs, and can say what it ignores.
    const stop = ["-w", "0", "--stop-signal", "TERM/2s/KILL"];
    await using hupwatch = await startHupwatch([
      ...stop,
      "--",
      "sh",
      "-c",
      `exec ${child("ignores-term.ts")}`,
    ]);
    await hupwatch.until(/ready \(pid: \d+\)/, { stream: "output" });
    await hupwatch.swap(2);
    expect(hupwatch.output).toContain("ignored TERM");
    expect(hupwatch.log).toContain("SIGKILL");
  });

  test("a command that drains slowly is given its time, and the new one serves meanwhile", async () => {
    const options = ["-k", "-w", "0", "-v", "--stop-signal", "TERM/10s/KILL"];
    await using hupwatch = await startHupwatch([
      ...options,
      "--",
      "sh",
      "-c",
      `exec ${child("slow-drain.ts", 700)}`,
    ]);
    await hupwatch.until(/ready \(pid: \d+\)/, { stream: "output" });
    await hupwatch.swap(2);
    expect(hupwatch.log.search(LOG.serves(2))).toBeLessThan(hupwatch.log.search(LOG.gone(1)));
    expect(hupwatch.log).not.toContain("SIGKILL");
  });
});

describe("I6: nothing of a generation is left when it is over:", () => {
  test.each(["forks-and-leaves.ts", "double-forks.ts"])(
    "%s",
    async (name) => {
      await using hupwatch = await startHupwatch(["-k", "-w", "0", "--", "sh", "-c", `exec ${child(name)}`]);
      await hupwatch.until(/ready \(pid: \d+\)/, { stream: "output" });
      const [, left = ""] = await hupwatch.until(/left behind \(pid: (\d+)\)/, { stream: "output" });
      expect(readProcess(Number(left))?.command).toContain("sleep 1000");
      await hupwatch.swap(2);
      expect(readProcess(Number(left))).toBeUndefined();
      hupwatch.signal("SIGTERM");
      expect(await hupwatch.exited).toBe(0);
      await hupwatch.assertTreeGone();
    },
    TIMEOUT_MS,
  );
});

test("USR1, USR2, WINCH, TTIN and TTOU reach the command, HUP does not", async () => {
  const command = ["sh", "-c", `exec ${child("print-signals.ts")}`];
  await using hupwatch = await startHupwatch(["-k", "-w", "0", "--", ...command]);
  await hupwatch.until(/ready \(pid: \d+\)/, { stream: "output" });
  for (const name of ["USR1", "USR2", "WINCH", "TTIN", "TTOU"] as const) {
    hupwatch.signal(`SIG${name}` as NodeJS.Signals);
    await hupwatch.until(new RegExp(`signal ${name} `), { stream: "output" });
  }
  await hupwatch.swap(2);
  expect(hupwatch.output).not.toContain("signal HUP");
  hupwatch.signal("SIGTERM");
  await hupwatch.exited;
  expect(hupwatch.output).toContain("signal TERM");
});

test("a command that floods stderr starts, is swapped and loses no line", async () => {
  const command = ["sh", "-c", `exec ${child("spams-stderr.ts", 20_000)}`];
  await using hupwatch = await startHupwatch(["-k", "-w", "0", "--", ...command]);
  const bothReady = () => hupwatch.output.match(/ready/g)?.length === 2;
  await hupwatch.until(/spam 19999\n/);
  hupwatch.hup();
  await hupwatch.until(LOG.gone(1));
  await until(bothReady, { what: "generation 2 to have written all" });
  // Its tee may still be passing on what it wrote.
  await until(() => (hupwatch.log.match(/^spam \d+$/gm)?.length ?? 0) >= 40_000, {
    what: "all of 40,000 lines",
  });
  expect(hupwatch.log.match(/^spam \d+$/gm)).toHaveLength(40_000);
});

describe("the exit code is the command's:", () => {
  test.each([
    ["its own", ["sh", "-c", "exit 7"], 7],
    ["128 + n after a signal", ["sh", "-c", "kill -9 $$"], 137],
    ["127 where it is not there", ["./no-such-command"], 127],
    ["126 where it is no program", [`${ROOT}/package.json`], 126],
  ])("%s", async (_, command, code) => {
    await using hupwatch = spawnHupwatch(["--", ...command]);
    await until(() => !hupwatch.alive, { what: "hupwatch to exit", context: () => hupwatch.log });
    expect(await hupwatch.exited).toBe(code);
  });
});
