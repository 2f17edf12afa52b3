/**
 * While a generation waits to be confirmed, connections that the old one has accepted stay with it: nginx's `upstream keepalive` goes on
 * sending requests to the old version. How many is printed here, and `status` counts the connections.
 */
import { expect, test } from "bun:test";
import { NginxFront } from "../../src/verify/front.ts";
import { cli, home, statusOf } from "../harness/cli.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { gunicorn, gunicornSite } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";

/** Answers by version, of so many requests at once. */
async function shares(unix: string, requests: number): Promise<Record<string, number>> {
  const versions = await Promise.all(
    Array.from({ length: requests }, async () => {
      const { headers } = await fetch("http://app/slow?ms=300", { unix });
      return headers.get("x-version") ?? "none";
    }),
  );
  return Object.fromEntries(
    [...Map.groupBy(versions, (v) => v)].map(([version, all]) => [version, all.length]),
  );
}

const hasNginx = Bun.which("nginx") !== null;
test.skipIf(!hasNginx)(
  "behind nginx with kept connections both versions answer until one of them goes (needs nginx)",
  async () => {
    using place = home();
    using site = gunicornSite();
    using folder = tempDir();
    const port = await freePort();
    const bind = `127.0.0.1:${port}`;
    const command = [...gunicorn(bind, { worker: "gthread" }), "--keep-alive", "60"];
    const options = ["-k", "-w", "0", "--name", "shop", "--confirm", "120s"];
    await using hupwatch = await startHupwatch([...options, "--", ...command], {
      cwd: site.current,
      env: place.env,
    });
    await using nginx = await NginxFront.start(folder.path, { kind: "tcp", hostname: "127.0.0.1", port });
    const front = nginx.target.slice("unix:".length);
    expect(await shares(front, 4)).toEqual({ 1: 4 });

    site.deploy("2");
    hupwatch.hup();
    await hupwatch.until(/generation 2 has the clients and waits/);
    // Those that nginx keeps lead to the old one, and what it opens now to the new one.
    const both = await shares(front, 8);
    console.log(`of 8 requests behind nginx, answered by version: ${JSON.stringify(both)}`);
    expect(both["1"]).toBeGreaterThan(0);
    expect(both["2"]).toBeGreaterThan(0);
    const status = await statusOf("shop", place);
    for (const { connections } of status.generations) expect(connections).toBeGreaterThan(0);
    expect((await cli(["status", "shop"], place)).stdout).toContain("CONNECTIONS");

    expect(await cli(["rollback", "shop"], place)).toMatchObject({ exitCode: 0 });
    expect((await shares(front, 12))["1"]).toBeGreaterThanOrEqual(4);
  },
  180_000,
);
