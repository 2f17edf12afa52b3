/** Where the kernel counts what it killed for want of memory. */
import { expect, test } from "bun:test";
import { counters, oomKills } from "../../src/os/oom.ts";

test("this machine has a counter", () => {
  expect(oomKills()?.kills).toBeGreaterThanOrEqual(0);
});

test.each([
  ["v2", "0::/system.slice/app.service\n", "/sys/fs/cgroup/system.slice/app.service/memory.events"],
  ["v1", "4:memory:/app\n0::/\n", "/sys/fs/cgroup/memory/app/memory.oom_control"],
  ["v1, two controllers together", "4:hugetlb,memory:/app\n", "/sys/fs/cgroup/memory/app/memory.oom_control"],
])("the first place to look: %s", (_, groups, first) => {
  expect(counters(groups)[0]).toBe(first);
});
