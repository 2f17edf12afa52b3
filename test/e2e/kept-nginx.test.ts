/**
 * The commonest set-up: nginx with `upstream keepalive` in front. Measured before: 13 answers 502 in six swaps over a Unix socket, to 12
 * clients that post (nginx 1.22, uvicorn).
 */
import { expect, test } from "bun:test";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { Posts } from "../harness/posts.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";
import { newest } from "../setup/server-row.ts";

const SWAPS = 3;
const CLIENTS = 12;

const configOf = (place: string, port: number, upstream: string) => `
daemon off; pid ${place}/nginx.pid; error_log ${place}/error.log; worker_processes 1;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path ${place}/nginx; proxy_temp_path ${place}/nginx;
  fastcgi_temp_path ${place}/nginx; uwsgi_temp_path ${place}/nginx; scgi_temp_path ${place}/nginx;
  upstream app { server ${upstream}; keepalive 16; }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000;
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}`;

async function postThroughNginx(family: "unix" | "tcp", mode: string) {
  using place = tempDir();
  mkdirSync(`${place.path}/nginx`);
  copyFileSync(`${ROOT}/fixtures/apps/asgi.py`, `${place.path}/asgi.py`);
  const port = await freePort();
  const bind = family === "unix" ? `unix:${place.path}/app.sock` : `127.0.0.1:${await freePort()}`;
  const where = family === "unix" ? ["--uds", bind.slice(5)] : ["--port", bind.replace(/.*:/, "")];
  const options = ["-k", "-w", "0", "--drain-until-idle", "0", "--socket-mode", "0666"];
  await using hupwatch = await startHupwatch(
    [...options, "--kept-connections", mode, "--", newest("uvicorn"), "asgi:application", ...where],
    { cwd: place.path },
  );
  writeFileSync(`${place.path}/nginx.conf`, configOf(place.path, port, bind));
  const words = ["nginx", "-p", place.path, "-c", `${place.path}/nginx.conf`];
  const nginx = Bun.spawn(words, { stdout: "ignore", stderr: "ignore" });
  Bun.spawnSync(["chmod", "0755", place.path]);
  try {
    const up = () =>
      fetch(`http://127.0.0.1:${port}/`).then(
        (r) => r.ok,
        () => false,
      );
    await until(up, { what: "nginx to answer" });
    const posts = new Posts(
      `127.0.0.1:${port}`,
      Array.from({ length: CLIENTS }, (_, i) => i % 4),
    );
    for (let version = 1; version <= SWAPS; version++) {
      await until(() => (posts.report.versions[`${version}`] ?? 0) > 100, { what: `version ${version}` });
      hupwatch.hup();
      await hupwatch.until(LOG.gone(version));
    }
    await until(() => (posts.report.versions[`${SWAPS + 1}`] ?? 0) > 100, { what: "the last version" });
    const report = await posts.stop();
    return report;
  } finally {
    nginx.kill();
    await nginx.exited;
  }
}

const hasNginx = Bun.which("nginx") !== null;

test.skipIf(!hasNginx).each(["unix", "tcp"] as const)(
  "nginx, upstream keepalive, %s: no answer is 502 (needs nginx)",
  async (family) => {
    const { lost } = await postThroughNginx(family, "adopt");
    expect(lost).toEqual({});
  },
  120_000,
);

test.skipIf(!hasNginx)(
  "closed as the server means it, some are: the test can see the difference (needs nginx)",
  async () => {
    const { lost } = await postThroughNginx("unix", "close");
    expect(lost["new status 502"] ?? 0).toBeGreaterThan(0);
  },
  120_000,
);
