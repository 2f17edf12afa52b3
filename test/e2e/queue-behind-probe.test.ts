/**
 * Clients that wait while a server with one worker boots. The probe of `connect` says nothing: gunicorn's sync worker waits for it to
 * speak, and the queue behind it never gets empty. Seen as "it has not accepted a connection", and after a crash as an outage without end.
 */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { spawnHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { GUNICORNS } from "../setup/places.ts";

const APP = `
import time
time.sleep(2)
def application(environ, start):
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
`;

test.each(["unix", "tcp"] as const)(
  "one worker, and clients come while it boots: it is ready, and all are answered (%s)",
  async (transport) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/app.py`, APP);
    const bind = await bindFor(transport, { path: dir.path } as never);
    const options = ["-k", "--ready", "connect", "--ready-timeout", "20s"];
    const gunicorn = [GUNICORNS.pypi, "app:application", "-w", "1", "-b", bind];
    await using hupwatch = spawnHupwatch([...options, "--", ...gunicorn], { cwd: dir.path });
    await hupwatch.until(LOG.started(1));
    const ask = () =>
      transport === "unix"
        ? fetch("http://x/", { unix: bind.replace("unix:", "") })
        : fetch(`http://${bind}/`, { keepalive: false });
    const answers: Promise<number>[] = [];
    const coming = setInterval(() => answers.push(ask().then(({ status }) => status)), 50);
    await hupwatch.until(LOG.serves(1)).finally(() => clearInterval(coming));
    expect(new Set(await Promise.all(answers))).toEqual(new Set([200]));
  },
  60_000,
);
