/** "Start-up: try what was not tried": hupwatch tries by itself whether a command can be intercepted, and goes on as if it had not. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { whyNotIntercepted } from "../../src/intercept/trial.ts";
import { childrenOf } from "../../src/os/tree.ts";

const stock = () => ({
  descriptors: readdirSync("/proc/self/fd").length,
  children: childrenOf(process.pid),
});

test("a trial leaves no descriptor and no process in the one that tries", () => {
  expect(whyNotIntercepted()).toBeUndefined();
  const before = stock();
  for (let time = 0; time < 3; time++) whyNotIntercepted();
  expect(stock()).toEqual(before);
});
