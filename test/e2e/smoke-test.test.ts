/** A smoke test over TCP sees the new generation of a real gunicorn, and not the old one that serves beside it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite } from "../harness/site.ts";

test("--ready exec: and the hooks ask the new one by HUPWATCH_PROBE_PORTS: a release that answers wrongly is rolled back", async () => {
  using site = gunicornSite();
  const bind = await bindFor("tcp", site);
  const asked = `curl -fsS -m 20 --local-port "$HUPWATCH_PROBE_PORTS" -o /dev/null -w '%header{x-version}' http://${bind}/`;
  const check = `exec:test "$(${asked})" != wrong`;
  const heard = `${site.path}/heard`;
  const hook = `ready=echo "$HUPWATCH_GENERATION $(${asked})" >> ${heard}`;
  const options = ["-k", "-w", "2", "--ready", check, "--ready-timeout", "15s", "--hook", hook];
  await using hupwatch = await startHupwatch([...options, "--", ...gunicorn(bind)], { cwd: site.current });
  await using load = await startLoad({ target: bind, versions: ["1", "2"] });
  site.deploy("2");
  await hupwatch.swap(2);
  site.deploy("wrong");
  hupwatch.hup();
  await hupwatch.until(LOG.rolledBack);
  expect(hupwatch.log).toContain("it exited with 1");
  await hupwatch.until(LOG.gone(3));
  expect(readFileSync(heard, "utf8")).toBe("1 1\n2 2\n");
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "2" });
}, 180_000);
