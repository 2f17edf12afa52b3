/**
 * The random clients of test/kept/random.test.ts before a whole hupwatch, which takes their connections from a server that really stops,
 * again and again. `SEED=N` plays a run again.
 */
import { expect, test } from "bun:test";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { type Course, RandomClient } from "../kept/random-client.ts";
import { ROOT } from "../setup/places.ts";
import { Random } from "../swap/random.ts";

const CLIENTS = 24;
const SWAPS = 2;
/** Until connections have lived on: on a busy machine a server may close all of them in the middle of something. */
const SWAPS_MAX = 12;
const REQUESTS_OF_EACH = 60;
const SERVER = ["node", `${ROOT}/fixtures/children/one-generation.mjs`];

async function clientsThroughSwaps(family: "tcp" | "unix", seed: number) {
  using place = tempDir();
  const [path, port] = [`${place.path}/app.sock`, await freePort()];
  const [bind, to, mode] =
    family === "unix"
      ? [`unix:${path}`, { path }, "adopt"]
      : [`127.0.0.1:${port}`, { host: "127.0.0.1", port }, "auto"];
  const options = ["-k", "-v", "-w", "0", "-b", bind, "--drain-until-idle", "0", "--handover", "systemd"];
  await using hupwatch = await startHupwatch(
    [...options, "--ready", "http", "--kept-connections", mode, "--", ...SERVER],
    { cwd: place.path },
  );
  const executed = () =>
    [...hupwatch.output.matchAll(/^executed (c\S+) (\d+)$/gm)].map(([, id, by]) => ({ id, by }));
  const course: Course = { faults: [], lost: [], served: 0, restlessness: 0.1 };
  let isEnough = false;
  // What has ended, as some want to, has a successor.
  const clients = Array.from({ length: CLIENTS }, async (_, i) => {
    for (let life = 0; !isEnough; life++) {
      const random = new Random(seed + i + life * CLIENTS);
      await new RandomClient(to, random, `c${i}-${life}`, course).run(() => isEnough);
    }
  });
  const liveOn = () => hupwatch.count(/[1-9]\d* connections? of generation \d+ lives? on/);
  for (let version = 1; ; version++) {
    await until(() => executed().filter(({ by }) => by === `${version}`).length > REQUESTS_OF_EACH, {
      what: `requests of generation ${version}`,
      context: () => hupwatch.log,
    });
    if (version > SWAPS && (liveOn() > 0 || version > SWAPS_MAX)) break;
    hupwatch.hup();
    await hupwatch.until(LOG.gone(version));
  }
  isEnough = true;
  await Promise.all(clients);
  const ids = executed().map(({ id }) => id);
  return {
    faults: course.faults,
    twice: ids.filter((id, i) => ids.indexOf(id) !== i),
    evil: hupwatch.output.split("\n").filter((line) => line === "evil"),
    liveOn: liveOn(),
    log: hupwatch.log,
  };
}

test.skipIf(Bun.which("node") === null).each(["tcp", "unix"] as const)(
  "%s: no wrong byte, nothing twice, no body as a request (needs node)",
  async (family) => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`SEED=${seed}`);
    const { faults, twice, evil, liveOn, log } = await clientsThroughSwaps(family, seed);
    expect({ seed, faults, twice, evil }).toEqual({ seed, faults: [], twice: [], evil: [] });
    // Else nothing was shown.
    expect({ isAnyKept: liveOn > 0, log }).toEqual({ isAnyKept: true, log });
  },
  180_000,
);
