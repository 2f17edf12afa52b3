/** The policy that keeps daemons from starting while the tests install packages: what is left of it, and when it forbids. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tempDir } from "../harness/temp-dir.ts";
import { forbidStarts } from "./apt.ts";

const FORBIDDEN = 101;
const ask = (policy: string) => Bun.spawnSync([policy, "nginx", "start"]).exitCode;

test("forbids while it stands, and nothing of it is left", () => {
  using dir = tempDir();
  const policy = `${dir.path}/policy-rc.d`;
  {
    using _forbidden = forbidStarts(policy);
    expect(ask(policy)).toBe(FORBIDDEN);
  }
  expect(readdirSync(dir.path)).toEqual([]);
});

test("the policy that was there before is there again, also when the installation throws", () => {
  using dir = tempDir();
  const policy = `${dir.path}/policy-rc.d`;
  writeFileSync(policy, "#!/bin/sh\nexit 104\n", { mode: 0o755 });
  expect(() => {
    using _forbidden = forbidStarts(policy);
    expect(ask(policy)).toBe(FORBIDDEN);
    throw new Error("no mirror");
  }).toThrow("no mirror");
  expect(ask(policy)).toBe(104);
  expect(readdirSync(dir.path)).toEqual(["policy-rc.d"]);
});

// A setup that is killed must not keep a machine's daemons from starting for ever.
test.each([undefined, 104])(
  "one that is left by a killed setup forbids nothing (policy before: %p)",
  (code) => {
    using dir = tempDir();
    const policy = `${dir.path}/policy-rc.d`;
    if (code !== undefined) writeFileSync(policy, `#!/bin/sh\nexit ${code}\n`, { mode: 0o755 });
    const killed = `require("${import.meta.dir}/apt.ts").forbidStarts("${policy}"); process.kill(process.pid, "SIGKILL")`;
    Bun.spawnSync([process.execPath, "-e", killed]);
    expect(readFileSync(policy, "utf8")).toContain("exit 101");
    expect(ask(policy)).toBe(code ?? 0);
    // And the next setup clears it away.
    forbidStarts(policy)[Symbol.dispose]();
    expect(existsSync(policy)).toBe(code !== undefined);
    if (code !== undefined) expect(ask(policy)).toBe(code);
  },
);
