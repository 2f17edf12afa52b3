/**
 * Commands that bind by themselves, unmodified and behind whatever stands in front of them: `--handover intercept` gives their own
 * bind(2) the held listener.
 */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { placeIn } from "../harness/contract.ts";
import { LAUNCHER, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { tempDir } from "../harness/until.ts";
import { BUILT, GUNICORNS } from "../setup/places.ts";

const gunicorn = (at: string) =>
  `${GUNICORNS.debian} wsgi:application -w 2 -b ${at.startsWith("/") ? `unix:${at}` : at}`;

/** At a path or host:port. */
const COMMANDS: Record<string, { needs?: string; words: (at: string) => string[] }> = {
  "Node, its own listen": { words: (at) => ["node", "node.mjs", at] },
  "npm start, through npm, sh and node": {
    needs: "npm",
    words: (at) => ["npm", "--silent", "exec", "--offline", "-c", `node node.mjs ${at}`],
  },
  "Go, static: MPTCP first": { needs: BUILT.go, words: (at) => [BUILT.go, at] },
  "gunicorn behind a shell that stays": { words: (at) => ["sh", "-c", `cd . && ${gunicorn(at)}; exit $?`] },
  // newrelic-admin, dotenv run and s6-setuidgid do the same to the words: they are not gunicorn's any more.
  "gunicorn behind env -u and timeout": {
    words: (at) => ["env", "-u", "NOTHING", "timeout", "9d", ...gunicorn(at).split(" ")],
  },
};

const CASES = Object.entries(COMMANDS)
  .filter(([, { needs = "sh" }]) => (needs.includes("/") ? existsSync(needs) : Bun.which(needs) !== null))
  .flatMap(([name, { words }]) =>
    (["tcp", "unix"] as const).map((transport) => ({ name, transport, words })),
  );

// Tried on 0.1.0: each of them was rolled back, or a swap that was called a success lost requests and then the path for ever.
test.each(CASES)(
  "$name over $transport: two swaps, nothing dropped, nothing left",
  async ({ transport, words }) => {
    using dir = tempDir();
    const place = await placeIn(dir.path, transport);
    const target = transport === "unix" ? `unix:${place.at}` : place.at;
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0.2", "--handover", "intercept", "-b", target, "--", ...words(place.at)],
      { cwd: place.directory },
    );
    await using load = await startLoad({ target, rate: 200 });
    await load.more(20);
    for (const generation of [2, 3]) {
      await hupwatch.swap(generation);
      await load.more(20);
    }
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
    hupwatch.signal("SIGTERM");
    await hupwatch.exited;
    await hupwatch.assertTreeGone();
    if (transport === "unix") expect(existsSync(place.at)).toBe(false);
  },
  60_000,
);

// The wrapper's own reaction to TERM ends the server at once (sh), or leaves it to be killed.
test("the stop signal goes to the server, and the wrapper in front of it hears of it afterwards", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "tcp");
  const stubborn = `trap "echo wrapper told >&2; exit 0" TERM; node node.mjs ${place.at} & while :; do sleep 0.1; done`;
  await using hupwatch = await startHupwatch(
    [
      "-k",
      "-v",
      "-w",
      "0",
      "--drain-until-idle",
      "0s",
      "--handover",
      "intercept",
      "-b",
      place.at,
      "--",
      "sh",
      "-c",
      stubborn,
    ],
    { cwd: place.directory },
  );
  const [, server] = await hupwatch.until(/version 1 ready \(pid: (\d+)\)/);
  const slow = fetch(`http://${place.at}/slow?ms=2500`, { keepalive: false }).then((answer) => answer.text());
  await hupwatch.swap(2);
  expect(await slow).toBe("slow\n");
  expect(hupwatch.log).toContain(`generation 1: sent SIGTERM to ${server}`);
  expect(hupwatch.log).toMatch(/wrapper told[\s\S]*generation 1 gone/);
}, 30_000);

test("below another supervisor of this kind it cannot be, and that is said with the way out", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "tcp");
  const inner = [
    LAUNCHER,
    "--run-dir",
    `${dir.path}/inner`,
    "--handover",
    "intercept",
    "--",
    "node",
    "node.mjs",
    place.at,
  ];
  await using hupwatch = spawnHupwatch(["-k", "--handover", "intercept", "-b", place.at, "--", ...inner], {
    cwd: place.directory,
  });
  await hupwatch.until(
    /cannot intercept 'node': a supervisor above hupwatch answers its system calls already/,
  );
  expect(await hupwatch.exited).toBe(125);
}, 30_000);
