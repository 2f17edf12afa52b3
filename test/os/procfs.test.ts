/** What belongs to a generation, found in the real /proc. */
import { describe, expect, test } from "bun:test";
import { realOs } from "../../src/os/os.ts";
import { isSame, processOf, treeOf } from "../../src/os/procfs.ts";
import { until } from "../harness/until.ts";

const SELF = process.pid;
/** Beyond the kernel's limit (PID_MAX_LIMIT). */
const NEVER = 2 ** 22 + 1;

interface Generation extends AsyncDisposable {
  pid: number;
  marks: string[];
  tree(): string[];
  pids(): number[];
}

/** `script` in a session of its own, marked as a generation is; what it starts sleeps under names of its own. */
function generation(script: string): Generation {
  const marks = [`HUPWATCH_PID=${SELF}`, `HUPWATCH_GENERATION=${crypto.randomUUID()}`];
  const env = { ...process.env, ...Object.fromEntries(marks.map((m) => m.split("=") as [string, string])) };
  const child = Bun.spawn(["sh", "-c", script], {
    env,
    detached: true,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const leader = { pid: child.pid, startTime: processOf(child.pid)?.startTime ?? 0 };
  const members = () => treeOf({ leader, marks, uids: [process.getuid?.() ?? 0], self: SELF });
  return {
    pid: child.pid,
    marks,
    tree: () =>
      members()
        .map((p) => p.command)
        .sort(),
    pids: () => members().map((p) => p.pid),
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
