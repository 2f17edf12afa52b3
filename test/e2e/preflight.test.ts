/** --preflight with a real gunicorn: a broken release is refused before anything is started. */
import { expect, test } from "bun:test";
import { cli, home } from "../harness/cli.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite } from "../harness/site.ts";
import { GUNICORNS } from "../setup/places.ts";

test("I8: gunicorn --check-config refuses a broken release, nothing is started, and its words are shown", async () => {
  using place = home();
  using site = gunicornSite();
  const bind = await bindFor("unix", site);
  const preflight = `${GUNICORNS.debian} --check-config wsgi:application`;
  await using hupwatch = await startHupwatch(
    ["-k", "-w", "0", "--name", "shop", "--preflight", preflight, "--", ...gunicorn(bind)],
    { cwd: site.current, env: place.env },
  );
  await using load = await startLoad({ target: bind });
  await load.more(20);

  site.deployBroken();
  const refused = await cli(["reload", "shop"], place);
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain(
    `generation 2 was not started: preflight '${preflight}' exited with code 1`,
  );
  expect(refused.stderr).toContain("RuntimeError: a broken release");
  expect(hupwatch.log).not.toMatch(LOG.started(2));

  site.deploy("3");
  expect(await cli(["reload", "shop"], place)).toMatchObject({ exitCode: 0 });
  await load.version("3");
  expect(hupwatch.count(/preflight '.*' passed in/)).toBe(2);
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "3" });
}, 120_000);
