/** `hupwatch verify` over real gunicorn: good swaps and accidents pass, and what people do without hupwatch fails. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { VerifyReport } from "../../src/verify/report.ts";
import { always, TINY } from "../harness/commands.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { allProcesses, killEntry, processesWithEnv } from "../harness/processes.ts";
import { bindFor, deployTo, gunicorn, TRANSPORTS } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const TIMEOUT_MS = 180_000;

async function verify(cwd: string, words: string[]) {
  const run = Bun.spawn([LAUNCHER, "verify", "--json", "report.json", "-q", ...words], {
    ...{ cwd, stdout: "pipe", stderr: "inherit" },
    env: { ...process.env, HUPWATCH_BUN: process.execPath, PWD: cwd },
  });
  const stdout = await run.stdout.text();
  return {
    stdout,
    code: await run.exited,
    report: (await Bun.file(`${cwd}/report.json`).json()) as VerifyReport,
  };
}

test.each(TRANSPORTS)(
  "swaps and every accident drop nothing of sync gunicorn (%s)",
  async (transport) => {
    using dir = tempDir();
    // Without a VERSION file each generation has its number for one.
    await Bun.write(`${dir.path}/wsgi.py`, Bun.file(join(ROOT, "fixtures/apps/wsgi.py")));
    const bind = await bindFor(transport, { path: dir.path } as never);
    const options = [
      "-n",
      "3",
      "--every",
      "500ms",
      "-w",
      "0.5",
      "--chaos",
      "--ready-timeout",
      "4s",
      "--rate",
      "60",
    ];
    const { stdout, code, report } = await verify(dir.path, [...options, "--", ...gunicorn(bind)]);
    const failed = report.checks.filter((check) => check.status === "fail");
    expect(failed).toEqual([]);
    expect(stdout).toMatch(/^PASS: 0 of /m);
    expect(code).toBe(0);
    expect(report.stages.map((stage) => stage.name)).toEqual([
      ...["swaps", "crash", "hang", "warm-up", "storm", "phases", "kill"],
    ] as never);
    expect(report.ledger).toMatchObject({ duplicates: [], neverExecuted: [], failedUnexecuted: [] });
    expect(report.growth.descriptors).toBe(0);
  },
  TIMEOUT_MS,
);

test.each([
  ["that ends its service with itself", []],
  ["that leaves its service running", ["--chaos-with", "kill"]],
] as [string, string[]][])(
  "kill -9 of verify ends the hupwatch that it started, and the service with it: one %s",
  async (_, options) => {
    using dir = tempDir();
    const mark = crypto.randomUUID();
    const path = `${dir.path}/s`;
    const words = ["-q", "-n", "1000", ...options, "-b", `unix:${path}`, "--", ...always(TINY)];
    const run = Bun.spawn([LAUNCHER, "verify", ...words], {
      ...{ cwd: dir.path, stdout: "ignore", stderr: "inherit" },
      env: { ...process.env, HUPWATCH_BUN: process.execPath, TMPDIR: dir.path, VERIFY_TEST_MARK: mark },
    });
    const left = () => processesWithEnv("VERIFY_TEST_MARK", mark).filter(({ state }) => state !== "Z");
    try {
      const log = () => new Bun.Glob("hupwatch-verify-*/server.log").scanSync(dir.path).next().value;
      const serves = async () => {
        const name = log();
        return (
          name !== undefined && (await Bun.file(`${dir.path}/${name}`).text()).includes("generation 1 serves")
        );
      };
      await until(serves, { what: "the service to be up" });
      run.kill("SIGKILL");
      await until(() => left().length === 0, {
        what: "nothing to be left",
        context: () =>
          left()
            .map((entry) => `${entry.pid} ${entry.command}`)
            .join("\n"),
      });
      expect(existsSync(path)).toBe(false);
    } finally {
      for (const entry of left()) killEntry(entry, "SIGKILL");
    }
  },
  TIMEOUT_MS,
);

test(
  "the naive swap of gunicorn fails by connect-missing: both copies unlink the path",
  async () => {
    using dir = tempDir();
    deployTo(dir.path, "1");
    const [program = "", ...rest] = gunicorn(`unix:${dir.path}/n`);
    const script = `old=$(cat pid 2>/dev/null); rm -f fresh
      setsid ${program} ${rest.join(" ")} --pid fresh >/dev/null 2>&1 &
      while [ ! -s fresh ]; do sleep 0.05; done
      sleep 0.3; cp fresh pid; [ -z "$old" ] || kill -TERM $old`;
    const reload = `cd ${dir.path}; ${script}`;
    try {
      Bun.spawnSync(["sh", "-c", reload]);
      await until(() => Bun.file(`${dir.path}/pid`).size > 0, { what: "the first gunicorn" });
      const { code, report } = await verify(dir.path, ["-n", "2", "--target", "unix:n", "--reload", reload]);
      expect(code).toBe(1);
      const classes = new Set(report.losses.map((loss) => `${loss.loss} ${loss.class}`));
      expect([...classes]).toContain("drop connect-missing");
      expect(report.line).toMatch(/^[1-9][\d,]* of [\d,]+ requests dropped/);
    } finally {
      for (const entry of allProcesses())
        if (entry.command.includes(`unix:${dir.path}/n`)) killEntry(entry, "SIGKILL");
    }
  },
  TIMEOUT_MS,
);
