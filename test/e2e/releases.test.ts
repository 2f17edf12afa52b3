/**
 * I3 and I8 for releases behind a symlink: each with its own virtualenv, `.env` and templates, deployed under load, deleted
 * while its generation still drains, and gone back to.
 */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { djangoSite } from "../harness/django.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { TRANSPORTS } from "../harness/site.ts";
import { until } from "../harness/until.ts";

const TIMEOUT_MS = 120_000;

for (const transport of TRANSPORTS)
  test.concurrent(
    `a Django site, over ${transport}`,
    async () => {
      using site = djangoSite();
      site.release("1");
      site.switchTo("1");
      const bind = transport === "unix" ? `unix:${site.path}/app.sock` : `127.0.0.1:${await freePort()}`;
      const gunicorn = ["venv/bin/gunicorn", "django_site:application", "--threads", "4", "--bind", bind];
      const options = ["-w", "0.2", "--env-file", ".env"];
      await using hupwatch = await startHupwatch([...options, "--", ...gunicorn], { cwd: site.current });
      const url = transport === "unix" ? "http://site/" : `http://${bind}/`;
      const page = async () => {
        // A kept connection would lead to the generation that it was opened to.
        const alone = { headers: { connection: "close" }, keepalive: false };
        return await (
          await fetch(url, transport === "unix" ? { ...alone, unix: bind.slice(5) } : alone)
        ).text();
      };
      expect(await page()).toBe(site.page("1"));
      await using load = await startLoad({ target: bind, rate: 150, afterFirstOk: true });

      const mark = `${site.path}/held`;
      await using lasting = await startLoad({ target: bind, path: `/held?mark=${mark}`, concurrency: 1 });
      await until(() => existsSync(mark), { what: "a request that lasts" });
      const report = lasting.stop();

      site.release("2");
      site.switchTo("2");
      hupwatch.hup();
      await hupwatch.until(LOG.serves(2));
      // Its generation still has a request, which renders its template only when there is no release any more.
      site.delete("1");
      expect(await page()).toBe(site.page("2"));
      rmSync(mark);
      expect(await report).toMatchObject({ sent: 1, ok: 1, lastVersion: "1" });
      await hupwatch.until(LOG.gone(1));

      site.release("3");
      site.switchTo("3");
      await hupwatch.swap(3);
      expect(await page()).toBe(site.page("3"));
      // The directory that the config file named at the start is long gone.
      expect(readdirSync(`${site.path}/shared/pids`).sort()).toEqual(["g.pid", "g.pid.3"]);

      // Back, as after a bad deploy.
      site.switchTo("2");
      await hupwatch.swap(4);
      site.delete("3");
      expect(await page()).toBe(site.page("2"));

      const broken = site.release("4");
      site.switchTo("4");
      rmSync(`${broken}/venv/bin/python`);
      hupwatch.hup();
      await hupwatch.until(
        /rolled back: .*venv\/bin\/python, the interpreter that its first line names, does not exist/,
      );
      await hupwatch.until(LOG.gone(5));
      rmSync(`${broken}/venv`, { recursive: true });
      hupwatch.hup();
      await hupwatch.until(
        /rolled back: .*command not found: 'venv\/bin\/gunicorn'; to fix: put it below .*\/current,/,
      );
      expect(await page()).toBe(site.page("2"));
      await load.more(20);
      expect(await load.stop()).toMatchObject({ failures: {}, lastVersion: "2" });

      hupwatch.signal("SIGQUIT");
      await hupwatch.exited;
      await hupwatch.assertTreeGone();
    },
    TIMEOUT_MS,
  );
