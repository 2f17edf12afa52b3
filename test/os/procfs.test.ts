/** What belongs to a generation, found in the real /proc. */
import { describe, expect, test } from "bun:test";
import { realOs } from "../../src/os/os.ts";
import { isSame, processOf } from "../../src/os/procfs.ts";
import { glanceAtTree, type TreeQuery, treeOf } from "../../src/os/tree.ts";
import { readsIn } from "../harness/reads.ts";
import { until } from "../harness/until.ts";

const SELF = process.pid;
/** Beyond the kernel's limit (PID_MAX_LIMIT). */
const NEVER = 2 ** 22 + 1;

interface Generation extends AsyncDisposable {
  pid: number;
  marks: string[];
  query: TreeQuery;
  tree(): string[];
  pids(): number[];
  /** A line to its stdin. */
  say(line: string): Promise<unknown>;
}

/** `script` in a session of its own, marked as a generation is; what it starts sleeps under names of its own. */
function generation(script: string): Generation {
  const marks = [`HUPWATCH_PID=${SELF}`, `HUPWATCH_GENERATION=${crypto.randomUUID()}`];
  const env = { ...process.env, ...Object.fromEntries(marks.map((m) => m.split("=") as [string, string])) };
  const child = Bun.spawn(["sh", "-c", script], {
    env,
    detached: true,
    stdio: ["pipe", "ignore", "inherit"],
  });
  const leader = { pid: child.pid, startTime: processOf(child.pid)?.startTime ?? 0 };
  const query = { leader, marks, uids: [process.getuid?.() ?? 0], self: SELF };
  const members = () => treeOf(query);
  return {
    pid: child.pid,
    marks,
    query,
    tree: () =>
      members()
        .map((p) => p.command)
        .sort(),
    pids: () => members().map((p) => p.pid),
    async say(line) {
      child.stdin.write(`${line}\n`);
      await child.stdin.flush();
    },
    async [Symbol.asyncDispose]() {
      await until(
        () => {
          for (const member of members()) realOs.kill(member, "SIGKILL");
          return members().length === 0;
        },
        { what: "the tree to be killed" },
      );
    },
  };
}

describe("the tree of a generation", () => {
  const rows: [what: string, script: string, tree: string[]][] = [
    ["a leader alone", "exec sleep 1000", ["sleep"]],
    ["children and theirs", "sh -c 'sleep 1000 & wait' & exec sleep 1000", ["sh", "sleep", "sleep"]],
    ["a worker whose leader is dead, in its session", "sleep 1000 & exit 0", ["sleep"]],
    [
      "one that left session and tree, its parent gone",
      "setsid sh -c 'sleep 1000 & exit' & sleep 0.05; exit 0",
      ["sleep"],
    ],
    ["the same beside a living leader", "(setsid sleep 1000 &) ; exec sleep 1000", ["sleep", "sleep"]],
  ];
  test.each(rows)("%s", async (_, script, tree) => {
    await using gen = generation(script);
    await until(() => gen.tree().join() === tree.join(), {
      what: tree.join(),
      context: () => gen.tree().join(),
    });
  });

  test("strangers, zombies and we ourselves are never in it", async () => {
    await using gen = generation("sleep 0 & exec sleep 1000");
    await using other = generation("exec sleep 1000");
    await until(() => gen.tree().join() === "sleep" && other.tree().join() === "sleep", {
      what: "two sleepers",
    });
    expect(gen.pids()).toEqual([gen.pid]);
    expect(other.pids()).toEqual([other.pid]);
    // Even where we are asked for our own tree.
    const self = { pid: SELF, startTime: processOf(SELF)?.startTime ?? 0 };
    const query = { leader: self, marks: ["no=such"], uids: [], self: SELF };
    expect(treeOf(query).map((p) => p.pid)).not.toContain(SELF);
  });
});

const commandsOf = (query: TreeQuery) =>
  glanceAtTree(query)
    .map((p) => p.command)
    .sort();

test.each([
  ["below its leader, by the kernel's lists of children", "sh -c 'sleep 1000 & wait' & exec sleep 1000"],
  ["without a leader, as the whole look finds it", "sleep 1000 & sleep 1000 & exit 0"],
])("a glance at a tree, %s", async (_, script) => {
  await using gen = generation(script);
  await until(() => gen.tree().join() === commandsOf(gen.query).join() && gen.tree().length > 1, {
    what: "the same processes",
    context: () => `${gen.tree().join()} / ${commandsOf(gen.query).join()}`,
  });
});

const CROWD = 60;

// 9abb3bc read status and environment of each process of the machine for every look: 212 ms of it on one with 5,000.
test("of processes that are not in the tree nothing is read again", async () => {
  await using gen = generation("read line; (setsid sleep 1000 &); sleep 1000");
  await using crowd = generation(`for i in $(seq ${CROWD}); do sleep 1000 & done; exec sleep 1000`);
  await until(() => crowd.pids().length === CROWD + 1, { what: "a crowd of sleepers" });
  // Not one of ours: of what is below us, everything is looked at again each time.
  const look = () => treeOf({ ...gen.query, self: NEVER }).map((p) => p.command);
  const first = readsIn(look);
  expect(first).toBeGreaterThan(2 * CROWD);
  // Other tests start some meanwhile.
  expect(readsIn(look)).toBeLessThan(first - 2 * CROWD);
  // A process that is born later belongs to it, also where it leaves the session.
  await gen.say("go");
  await until(() => look().sort().join() === "sh,sleep,sleep", {
    what: "two more",
    context: () => look().join(),
  });
});

test("a signal reaches that very process and no later one of its number", async () => {
  await using gen = generation("exec sleep 1000");
  await until(() => gen.tree().join() === "sleep", { what: "sleep" });
  const process_ = processOf(gen.pid);
  if (!process_) throw new Error("it is gone");
  expect(realOs.kill({ ...process_, startTime: process_.startTime + 1 }, "SIGKILL")).toBe(false);
  expect(processOf(gen.pid)?.state).not.toBe("Z");
  expect(realOs.kill(process_, "SIGKILL")).toBe(true);
  await until(() => !processOf(gen.pid), { what: "its end to be taken note of" });
  expect(realOs.kill(process_, "SIGKILL")).toBe(false);
});

test("a number alone is not a process: it takes the start time, too", async () => {
  await using gen = generation("exec sleep 1000");
  const { startTime = 0 } = processOf(gen.pid) ?? {};
  expect(isSame({ pid: gen.pid, startTime })).toBe(true);
  expect(isSame({ pid: gen.pid, startTime: startTime - 1 })).toBe(false);
  expect(isSame({ pid: NEVER, startTime })).toBe(false);
});

test("names with blanks and parentheses do not shift the fields behind them", async () => {
  const script = "printf 'x) R 1 (y' > /proc/$$/comm; read -r line";
  const child = Bun.spawn(["sh", "-c", script], { stdio: ["pipe", "ignore", "ignore"] });
  await until(() => processOf(child.pid)?.command === "x) R 1 (y", { what: "its new name" });
  expect(processOf(child.pid)).toMatchObject({ ppid: SELF, state: "S" });
  child.stdin.end();
  await child.exited;
  expect(processOf(NEVER)).toBeUndefined();
});
