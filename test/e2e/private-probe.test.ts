/**
 * Where generations share a listener the old one may answer for the new one. Servers that serve one descriptor more get a
 * private one, and are ready when they answer there: not before their app is loaded, whatever the old generation says.
 */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { placeIn } from "../harness/contract.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import type { ServerRow, Transport } from "../setup/server-row.ts";
import { isInstalled, SERVERS } from "../setup/servers.ts";

const BOOT_MS = 1500;

const serverOf = (name: string): ServerRow => {
  const found = SERVERS.find((server) => server.name === name);
  if (!found) throw new Error(`no ${name} in the table`);
  return found;
};

/** A program of one's own says by the placeholder that it serves whatever LISTEN_FDS has. */
const asking = (name: string): ServerRow => {
  const server = serverOf(name);
  return { ...server, command: (place) => ["env", "PROBE={fd:hupwatch-probe}", ...server.command(place)] };
};

const CELLS: readonly (readonly [ServerRow, Transport])[] = [
  [serverOf("gunicorn, sync"), "unix"],
  [serverOf("uWSGI"), "unix"],
  [serverOf("uWSGI"), "tcp"],
  [serverOf("hypercorn (newest), 2 workers"), "tcp"],
  [serverOf("daphne (newest)"), "tcp"],
  [serverOf("waitress (newest)"), "unix"],
  [serverOf("puma, 2 workers"), "tcp"],
  [serverOf("unicorn"), "unix"],
  [asking("Bun.listen"), "tcp"],
  [asking("Go, net/http"), "tcp"],
  [asking("Rust, axum"), "unix"],
];

for (const [server, transport] of CELLS) {
  const title = `a shared listener proves nothing, a private one does: ${server.name}, ${transport}`;
  if (!isInstalled(server)) {
    test.skip(`${title}: ${server.program} is not installed`, () => {});
    continue;
  }
  test.concurrent(
    title,
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const place = await placeIn(dir.path, transport);
      await server.deploy?.(place, "1");
      const envFile = `${place.directory}/slow.env`;
      writeFileSync(envFile, "");
      const share = ["-k", "-w", "0.2", "--cutover", "share", "--log-format", "json", "--env-file", envFile];
      await using hupwatch = await startHupwatch(
        [...share, ...(server.options?.(place) ?? []), "--", ...server.command(place)],
        { cwd: place.directory, env: server.env ?? {} },
      );
      writeFileSync(envFile, `APP_BOOT_SECONDS=${BOOT_MS / 1000}\n`);
      await hupwatch.swap(2);
      const ready = hupwatch.log
        .split("\n")
        .filter((line) => line.includes('"generation.ready"'))
        .map((line) => JSON.parse(line) as { generation: number; proven: boolean; readyMs: number });
      expect(ready.map(({ generation, proven }) => ({ generation, proven }))).toEqual([
        { generation: 1, proven: true },
        { generation: 2, proven: true },
      ]);
      expect(ready[1]?.readyMs).toBeGreaterThanOrEqual(BOOT_MS);
    },
    TURN_TIMEOUT_MS,
  );
}
