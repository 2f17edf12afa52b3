/**
 * A listener that generations share, below servers that take no further one: an answer may be the old generation's, so the old
 * one stays until the new one is seen to accept.
 *
 * https://github.com/circus-tent/circus/issues/821: "ready in 0.01 s (no proof)", exit 0, and then nobody served.
 */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { newest } from "../setup/server-row.ts";

const APP = `
import os, time
mode = open("mode").read()
if mode != "good":
    time.sleep(2)
    if mode == "broken":
        raise ImportError("the new release is broken")
VERSION = os.environ["HUPWATCH_GENERATION"].encode()
async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    ids = [(name, value) for name, value in scope["headers"] if name == b"x-request-id"]
    headers = [(b"x-version", VERSION), (b"content-length", b"2"), *ids]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
def wsgi(environ, start):
    headers = [("X-Version", VERSION.decode()), ("Content-Length", "2")]
    start("200 OK", [*headers, ("X-Request-Id", environ.get("HTTP_X_REQUEST_ID", ""))])
    return [b"ok"]
`;

const SERVERS: [name: string, command: (port: number) => string[]][] = [
  ["uvicorn (epoll)", (port) => [newest("uvicorn"), "app:asgi", "--port", `${port}`]],
  ["waitress (poll)", (port) => [newest("waitress-serve"), `--listen=127.0.0.1:${port}`, "app:wsgi"]],
];

/** What counting load loses from `start` until `end` has come, and 20 requests more were answered. */
async function lost(
  port: number,
  end: () => Promise<unknown> = async () => {},
  start = () => {},
): Promise<Record<string, number>> {
  await using load = await startLoad({ target: `127.0.0.1:${port}`, rate: 50 });
  start();
  await end();
  await load.more(20);
  return (await load.stop()).failures;
}

describe.each(SERVERS)("%s", (_, command) => {
  test.each(["broken", "slow"])(
    "a release that is %s",
    async (mode) => {
      using dir = tempDir();
      const port = await freePort();
      writeFileSync(`${dir.path}/app.py`, APP);
      writeFileSync(`${dir.path}/mode`, "good");
      const options = ["-k", "-w", "2", "--cutover", "share", "--log-format", "json"];
      await using hupwatch = await startHupwatch([...options, "--", ...command(port)], {
        cwd: dir.path,
        env: { PYTHONPATH: dir.path, PYTHONDONTWRITEBYTECODE: "1" },
      });
      writeFileSync(`${dir.path}/mode`, mode);
      const until = mode === "broken" ? /"swap.rolled-back"/ : /"generation.ready".*"generation":2/;
      expect(
        await lost(
          port,
          () => hupwatch.until(until),
          () => hupwatch.hup(),
        ),
      ).toEqual({});
      // In between the old one is stopped: what it has accepted and not yet read it loses (src/swap/README.md).
      if (mode === "slow") await hupwatch.until(/"generation.gone".*"generation":1/);
      expect(await lost(port)).toEqual({});
      if (mode === "slow") expect(hupwatch.log).toMatch(/"generation.ready".*"generation":2.*"proven":true/);
      else expect(hupwatch.log).toContain("the new release is broken");
    },
    120_000,
  );
});
