/** confirm and rollback over the control socket, where nothing waits for them; and how long reload waits for others to say one. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { confirm, rollback } from "../../src/control/steering.ts";
import type { State } from "../../src/swap/machine.ts";
import { cli, home } from "../harness/cli.ts";
import { play, ready, swap, WAY_TO } from "../swap/play.ts";

/** Each of its commands is a start of the runtime, and the machine may be busy. */
setDefaultTimeout(120_000);

/** Of a machine that stands in that state and takes no event. */
const standing = (state: State) => ({
  state,
  snapshot: () => ({ last: state.last, generations: [] }),
  post: () => {},
});

test("if no generation waits and none is kept, the answer says that there is nothing to do", () => {
  const serving = standing(play(WAY_TO.serving).state);
  expect(confirm(serving)).toEqual({ outcome: "nothing", reason: "no generation waits to be confirmed" });
  expect(rollback(serving)).toMatchObject({
    outcome: "nothing",
    serving: 1,
    reason: expect.stringContaining("the previous generation is not kept (--keep"),
  });
  expect(rollback(standing(play(WAY_TO.starting).state))).toMatchObject({ outcome: "nothing" });
  expect(confirm(standing(play([ready(1), swap, ready(2)]).state))).toMatchObject({ outcome: "nothing" });
});

test("what the machine does not do is never reported as done", () => {
  const { state } = play(WAY_TO.warming, { maxDraining: 4, confirmMs: 1000 });
  expect(confirm(standing(state))).toMatchObject({ outcome: "nothing" });
  expect(rollback(standing(state))).toMatchObject({ outcome: "nothing", serving: 2 });
});

test("the time of --confirm does not count towards reload's --timeout", async () => {
  using place = home();
  const path = `${place.path}/control.sock`;
  await using _server = Bun.serve({
    unix: path,
    async fetch(request) {
      if (request.url.endsWith("/status"))
        return Response.json({ schema: "hupwatch-status/1", confirmMs: 20_000 });
      await Bun.sleep(1000);
      return Response.json({ schema: "hupwatch-reload/1", name: "shop", outcome: "swapped", generation: 2 });
    },
  });
  expect(await cli(["reload", path, "--timeout", "900ms"], place)).toMatchObject({ exitCode: 0 });
});

test("a hold without a deadline is refused before anything is asked", async () => {
  using place = home();
  expect(await cli(["hold", "shop"], place)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("no --for\nTo fix:"),
  });
  expect(await cli(["hold", "--for", "0", "shop"], place)).toMatchObject({ exitCode: 2 });
});
