/**
 * --stop-delay: balancers go on sending for a while after an end was decided.
 * https://github.com/kubernetes/kubernetes/issues/43576: endpoints lag behind the TERM, and a pod that closes at once loses requests;
 * https://github.com/kubernetes/kubernetes/issues/64510: a preStop that sleeps needs a program in the image that can.
 */
import { expect, test } from "bun:test";
import { freePort } from "../harness/free-port.ts";
import { LONGER_THAN_AN_ECHO_MS, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { ROOT } from "../setup/places.ts";

const DELAYED = /goes on accepting for .*, then stops \(--stop-delay\)/;

async function serving(delay: string) {
  const port = await freePort();
  const words = ["-k", "--stop-delay", delay, "-w", "0", "-b", `127.0.0.1:${port}`, "--"];
  const hupwatch = await startHupwatch([...words, process.execPath, `${ROOT}/fixtures/apps/tiny.ts`]);
  await hupwatch.until(LOG.serves(1));
  const get = (path: string) =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } });
  /** Its answer has begun, and takes a while. */
  const slow = async (seconds: number) => {
    const answer = await get(`/stream?chunks=${seconds * 10}&ms=100`);
    return { isWhole: async () => (await answer.text()).trimEnd().split("\n").length === seconds * 10 };
  };
  return { hupwatch, get, slow, [Symbol.asyncDispose]: () => hupwatch[Symbol.asyncDispose]() };
}

test("after TERM it goes on accepting, a swap is a swap, and then it stops as without a delay", async () => {
  await using service = await serving("12s");
  const { hupwatch, get } = service;
  hupwatch.signal("SIGTERM");
  await hupwatch.until(DELAYED);
  expect((await get("/")).status).toBe(200);
  hupwatch.hup();
  await hupwatch.until(LOG.serves(2));
  expect((await get("/")).status).toBe(200);
  expect(await hupwatch.exited).toBe(0);
  await hupwatch.assertTreeGone();
}, 120_000);

test("a second TERM stops at once, and gracefully: the request in hand is answered", async () => {
  await using service = await serving("1h");
  const { hupwatch, slow } = service;
  hupwatch.signal("SIGTERM");
  await hupwatch.until(DELAYED);
  const answer = await slow(1);
  await Bun.sleep(LONGER_THAN_AN_ECHO_MS);
  hupwatch.signal("SIGTERM");
  expect(await answer.isWhole()).toBe(true);
  expect(await hupwatch.exited).toBe(0);
});

// `timeout 20 hupwatch -k ...`: timeout(1) signals its child, and then its whole process group. 27 ms after "stopping" came "sent SIGKILL".
test("a TERM that comes a second time at once, as timeout(1) sends it, is one TERM", async () => {
  await using service = await serving("0s");
  const { hupwatch, slow } = service;
  const answer = await slow(1);
  hupwatch.tree();
  // Without the harness's look through /proc between the two: on a busy machine it outlasts an echo.
  process.kill(hupwatch.pid, "SIGTERM");
  // One that is pending already would take in the second.
  Bun.sleepSync(5);
  process.kill(hupwatch.pid, "SIGTERM");
  expect(await answer.isWhole()).toBe(true);
  expect(await hupwatch.exited).toBe(0);
  expect(hupwatch.log).not.toContain("SIGKILL");
});

test("a stop that something else asks for meanwhile is not hurried by the delay's end", async () => {
  await using service = await serving("2s");
  const { hupwatch, slow } = service;
  const answer = await slow(4);
  hupwatch.signal("SIGTERM");
  await hupwatch.until(DELAYED);
  process.kill(hupwatch.pid, "SIGINT");
  expect(await answer.isWhole()).toBe(true);
  expect(await hupwatch.exited).toBe(0);
});

test("without -k it would mean nothing, and is refused", async () => {
  await using hupwatch = spawnHupwatch(["--no-kill-at-exit", "--stop-delay", "5s", "--", "true"]);
  expect(await hupwatch.exited).toBe(125);
  expect(hupwatch.log).toContain("--stop-delay without -k");
});
