/** The judge is judged: each bug of mutants.ts is found by the check that is there for it, and without it that check passes. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "../../src/cli/parse.ts";
import verify from "../../src/cli/verify.ts";
import { planVerify } from "../../src/cli/verify-plan.ts";
import { conduct } from "../../src/verify/conductor.ts";
import { makeReport } from "../../src/verify/report.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { MUTANTS, MutatedTree } from "./mutants.ts";

setDefaultTimeout(120_000);

const folder = mkdtempSync(join(tmpdir(), "hm-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** In this process: its launcher names the hupwatch that is judged. */
async function judged(launcher: string, words: readonly string[]) {
  const quick = ["-n", "1", "--every", "300ms", "-w", "0", "--drain-until-idle", "0", "-k"];
  const { values, positionals } = parse(verify, [...quick, "-b", `unix:${folder}/s`, ...words]);
  process.env.HUPWATCH_LAUNCHER = launcher;
  process.env.HUPWATCH_BUN = process.execPath;
  try {
    return makeReport(
      await conduct(planVerify(values, positionals), { signal: new AbortController().signal }),
    );
  } finally {
    delete process.env.HUPWATCH_LAUNCHER;
    delete process.env.HUPWATCH_BUN;
  }
}

describe("a hupwatch that", () => {
  for (const [name, mutant] of Object.entries(MUTANTS))
    test(`${name}: ${mutant.check}`, async () => {
      using tree = new MutatedTree(mutant);
      const { verdict, checks } = await judged(tree.launcher, mutant.words);
      const { status, summary, details = [] } = checks.find((check) => check.name === mutant.check) ?? {};
      expect({ verdict, status }).toEqual({ verdict: "fail", status: "fail" });
      expect([summary, ...details].join("\n")).toMatch(mutant.details);
    });
});

/** Each run once, with all its checks' names. */
const RUNS = Map.groupBy(Object.values(MUTANTS), ({ words }) => words.join(" "));

describe("the real one passes the same", () => {
  for (const [words, mutants] of RUNS)
    test(mutants.map(({ check }) => check).join(", "), async () => {
      const { checks } = await judged(LAUNCHER, mutants[0]?.words ?? []);
      expect({ words, failed: checks.filter(({ status }) => status === "fail") }).toEqual({
        words,
        failed: [],
      });
      // What no client came near to has nothing to fail by.
      for (const { check } of mutants)
        expect(["pass", "not-exercised"]).toContain(
          checks.find(({ name }) => name === check)?.status ?? "none",
        );
    });
});
