/** Servers that are well and do not answer GET / as a web page does: nobody asked for that, so each comes up, soon. */
import { describe, expect, test } from "bun:test";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { type TempDir, tempDir } from "../harness/temp-dir.ts";
import { GUNICORNS } from "../setup/places.ts";

/** Servers of node:https, node:http2 and node:net on descriptor 3, by name. */
const KINDS = `
import https from "node:https"; import http2 from "node:http2"; import net from "node:net"; import fs from "node:fs";
const kinds = {
  tls: () => https.createServer({ key: fs.readFileSync("key.pem"), cert: fs.readFileSync("cert.pem") }, (q, r) => r.end("ok")),
  h2c: () => http2.createServer((q, r) => r.end("ok")),
  echo: () => net.createServer((c) => c.pipe(c)),
};
kinds[process.argv[2]]().listen({ fd: 3 });
`;

function makeCertificate({ path }: TempDir): void {
  const words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"];
  const made = Bun.spawnSync(["openssl", ...words, "-subj", "/CN=x"], { cwd: path, stderr: "ignore" });
  expect(made.success).toBe(true);
}

// https://github.com/haproxy/haproxy/issues/1225, https://github.com/istio/istio/issues/40173
describe("Node that speaks", () => {
  test.each(["tls", "h2c", "echo"])("%s", async (kind) => {
    using dir = tempDir();
    makeCertificate(dir);
    await Bun.write(`${dir.path}/kinds.mjs`, KINDS);
    const words = ["-k", "-w", "0", "-b", `127.0.0.1:${await freePort()}`, "--", "node", "kinds.mjs", kind];
    await using hupwatch = await startHupwatch(words, { cwd: dir.path });
    hupwatch.hup();
    await hupwatch.until(LOG.serves(2));
  });
});

// https://github.com/netdata/netdata/issues/11822
test("nginx with proxy_protocol", async () => {
  using dir = tempDir();
  const port = await freePort();
  await Bun.write(
    `${dir.path}/nginx.conf`,
    `daemon off; error_log stderr; pid ${dir.path}/pid; events {}
     http { access_log off; server { listen 127.0.0.1:${port} proxy_protocol; return 200 ok; } }`,
  );
  const words = [
    "-k",
    "-w",
    "0",
    "-b",
    `127.0.0.1:${port}`,
    "--",
    "/usr/sbin/nginx",
    "-c",
    `${dir.path}/nginx.conf`,
  ];
  await using _hupwatch = await startHupwatch(words, { cwd: dir.path });
});

// https://github.com/Kludex/uvicorn/pull/2829
test("gunicorn whose front page takes a minute", async () => {
  using dir = tempDir();
  await Bun.write(
    `${dir.path}/slow.py`,
    'import time\ndef app(e, s):\n    time.sleep(60)\n    s("200 OK", [])\n    return [b"slow"]\n',
  );
  const words = ["-k", "-w", "0", "--stop-signal", "KILL", "--", GUNICORNS.debian, "slow:app", "-b"];
  await using hupwatch = await startHupwatch([...words, `unix:${dir.path}/app.sock`], { cwd: dir.path });
  // Two seconds of silence after its worker has read the request.
  expect(Number(/ready in (\d+\.\d\d) s/.exec(hupwatch.log)?.[1])).toBeLessThan(55);
});
