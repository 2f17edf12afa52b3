/** "Start-up: try what was not tried": hupwatch tries by itself whether a command can be intercepted, and goes on as if it had not. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { whyNotIntercepted } from "../../src/intercept/trial.ts";
import { childrenOf } from "../../src/os/tree.ts";
import { until } from "../harness/until.ts";

const stock = () => ({
  descriptors: readdirSync("/proc/self/fd").length,
  children: childrenOf(process.pid),
});

/** What earlier tests have left in this process may still be on its way out. */
async function atRest() {
  Bun.gc(true);
  let last = "";
  let since = 0;
  await until(
    () => {
      const text = JSON.stringify(stock());
      if (text !== last) [last, since] = [text, performance.now()];
      return performance.now() - since >= 300;
    },
    { what: "the stock to come to rest", context: () => last },
  );
  return stock();
}

test("a trial leaves no descriptor and no process in the one that tries", async () => {
  expect(whyNotIntercepted()).toBeUndefined();
  const before = await atRest();
  for (let time = 0; time < 3; time++) whyNotIntercepted();
  expect(stock()).toEqual(before);
});
