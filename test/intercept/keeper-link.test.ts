/** hupwatch's end of the keeper, where keepers fail: an aid that fails ends nothing. */
import { expect, test } from "bun:test";
import { type Heard, KeeperLink } from "../../src/intercept/keeper-link.ts";
import { startKeeper } from "../../src/intercept/programs.ts";
import { SystemError } from "../../src/os/libc.ts";
import { socketPair } from "../../src/os/libc-intercept.ts";
import { killEntry, processTree } from "../harness/processes.ts";
import { until } from "../harness/until.ts";

const keepers = () => processTree(process.pid).filter(({ command }) => / keep - - \d+ \d+$/.test(command));
/** The one that was started, once it is the program that it becomes. */
const keeper = () => until(() => keepers().at(-1), { what: "a keeper" });

/** Each launch of a keeper takes the next of these; the last one goes on for all later ones. */
function launching(...launches: (typeof startKeeper)[]): typeof startKeeper {
  return (...words) => (launches.length > 1 ? launches.shift() : launches[0])?.(...words) as number;
}

const fails: typeof startKeeper = () => {
  throw new SystemError("posix_spawn", "EAGAIN");
};
/** Its connection is open, and nothing ever comes from there. */
const hangs: typeof startKeeper = () => socketPair("packets")[0];

// "a slow keeper can end hupwatch": the deadline of a request to another keeper was an error that nobody caught.
test("where another keeper cannot be started, or hangs, that is said, and the next one goes on", async () => {
  const launch = launching(startKeeper, fails, hangs, startKeeper);
  using link = KeeperLink.start(undefined, { launch, replyMs: 3000 });
  const heard: Heard[] = [];
  link.subscribe((event) => heard.push(event));
  const first = await keeper();
  killEntry(first, "SIGKILL");
  await until(
    () => heard.some((h) => h.event === "trouble" && /was killed: another one goes on/.test(h.what)),
    {
      what: "another keeper",
      context: () => JSON.stringify(heard),
    },
  );
  const told = heard.map((h) => (h.event === "trouble" ? h.what : ""));
  expect(told[0]).toContain("tried again: posix_spawn: EAGAIN");
  expect(told[1]).toContain("tried again: keeper: ETIMEDOUT");
  expect(told).toHaveLength(3);
  expect(keepers().map(({ pid }) => pid)).not.toContain(first.pid);
  expect(link.take(1)).toBeUndefined();
});

test("a keeper that was killed just now is replaced by the request that needs it", async () => {
  using link = KeeperLink.start(undefined);
  killEntry(await keeper(), "SIGKILL");
  expect(link.take(1)).toBeUndefined();
});
