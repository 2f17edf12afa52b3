/** A smoke test over TCP sees the new generation of a real gunicorn, and not the old one that serves beside it. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { bindFor, gunicorn, gunicornSite } from "../harness/site.ts";
import { until } from "../harness/until.ts";

test("--ready exec: and the hooks ask the new one by HUPWATCH_PROBE_PORTS", async () => {
  using site = gunicornSite();
  const bind = await bindFor("tcp", site);
  const lines = (file: string) => readFileSync(`${site.path}/${file}`, "utf8").trim().split("\n");
  const asked = `curl -fsS -m 20 --local-port "$HUPWATCH_PROBE_PORTS" http://${bind}/version`;
  const note = (file: string) => `echo "$HUPWATCH_GENERATION $(${asked})" >> ${site.path}/${file}`;
  // Generation 2 is to run version 2.
  const check = `exec:${note("seen")}; tail -n 1 ${site.path}/seen | grep -q '^\\([0-9]\\) \\1$'`;
  const options = ["-k", "-w", "0", "--ready", check, "--hook", `ready=${note("heard")}`];
  await using hupwatch = await startHupwatch([...options, "--", ...gunicorn(bind)], { cwd: site.current });
  await using load = await startLoad({ target: bind, versions: ["1", "2"] });
  // The hook of generation 1 asks whatever is the newest when it comes to it.
  await until(() => existsSync(`${site.path}/heard`) && lines("heard").includes("1 1"), {
    what: "the first hook",
  });
  site.deploy("2");
  await hupwatch.swap(2);
  expect(lines("seen").at(-1)).toBe("2 2");
  // No swap waits for its hook.
  await until(() => lines("heard").length === 2, { what: "the second hook" });
  expect(lines("heard")).toEqual(["1 1", "2 2"]);
  expect([...lines("seen"), ...lines("heard")]).not.toContain("2 1");
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "2" });
}, 180_000);
