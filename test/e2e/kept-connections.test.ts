/**
 * Connections that clients keep live on (src/kept): measured before, nginx with `upstream keepalive 16` before hupwatch and uvicorn
 * answered 12 posting clients 13 times 502 in six swaps, and a client of each server below lost a POST at every swap.
 */
import { expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { type Posted, Posts } from "../harness/posts.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS, ROOT } from "../setup/places.ts";
import { newest } from "../setup/server-row.ts";

const SWAPS = 2;
/** Which requests meet the end of their connection is chance. */
const SWAPS_UNTIL_LOST_MAX = 30;
const TIMEOUT_MS = 300_000;
/** Busy ones, and one that is idle for most of the time. */
const PAUSES_MS = [0, 0, 1, 2, 3, 5, 20, 50, 300];

const COMMANDS: Record<string, (bind: string) => string[]> = {
  uvicorn: (bind) => [
    newest("uvicorn"),
    "asgi:application",
    ...(bind.startsWith("unix:") ? ["--uds", bind.slice(5)] : ["--port", bind.replace(/.*:/, "")]),
  ],
  gthread: (bind) => [GUNICORNS.pypi, "wsgi:application", "-k", "gthread", "--threads", "12", "-b", bind],
  node: (bind) => ["node", "node.mjs", bind],
  unknown: (bind) => ["sh", "-c", `exec node node.mjs ${bind}`],
};

const binds: Record<string, (place: string) => Promise<string>> = {
  unix: async (place) => `unix:${place}/app.sock`,
  tcp: async () => `127.0.0.1:${await freePort()}`,
};

const areSwapped = (version: number) => version > SWAPS;

async function postThroughSwaps(
  server: string,
  family: string,
  mode: string,
  isEnough: (version: number, report: Posted) => boolean = areSwapped,
) {
  using place = tempDir();
  for (const app of ["asgi.py", "wsgi.py", "node.mjs"])
    copyFileSync(`${ROOT}/fixtures/apps/${app}`, `${place.path}/${app}`);
  const bind = (await binds[family]?.(place.path)) ?? "";
  const command = COMMANDS[server]?.(bind) ?? [];
  await using hupwatch = await startHupwatch(
    [
      "-k",
      "-v",
      "-w",
      "0",
      "-b",
      bind,
      "--drain-until-idle",
      "0",
      "--kept-connections",
      mode,
      "--",
      ...command,
    ],
    { cwd: place.path },
  );
  const posts = new Posts(bind, PAUSES_MS);
  for (let version = 1; ; version++) {
    await until(() => (posts.report.versions[`${version}`] ?? 0) > 30, {
      what: `answers of version ${version}`,
    });
    if (isEnough(version, posts.report)) return await posts.stop();
    hupwatch.hup();
    await hupwatch.until(LOG.gone(version));
  }
}

/** `auto` keeps none of a Unix socket. */
const MODES: Record<string, string> = { unix: "adopt", tcp: "auto" };

for (const server of ["uvicorn", "gthread", "node"])
  for (const [family, mode] of Object.entries(MODES))
    test(
      `${server}, ${family}: not one POST is lost`,
      async () => {
        const report = await postThroughSwaps(server, family, mode);
        expect(report.lost).toEqual({});
      },
      TIMEOUT_MS,
    );

// Before: with `auto` each kept connection of a command that no readiness check had asked in HTTP was closed at each swap.
test(
  "an unknown command, tcp: what its clients send shows what they speak",
  async () => {
    const report = await postThroughSwaps("unknown", "tcp", "auto");
    expect(report.lost).toEqual({});
  },
  TIMEOUT_MS,
);

test(
  "with --kept-connections close they are lost: the test can see the difference",
  async () => {
    const lostKept = ({ lost }: Posted) => Object.keys(lost).filter((what) => what.startsWith("kept"));
    const report = await postThroughSwaps(
      "uvicorn",
      "tcp",
      "close",
      (version, sofar) => lostKept(sofar).length > 0 || version > SWAPS_UNTIL_LOST_MAX,
    );
    expect(lostKept(report)).not.toEqual([]);
  },
  TIMEOUT_MS,
);
