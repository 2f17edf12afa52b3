/** How many processes the kernel has killed because memory was short: in our control group if that counts them, else on the machine. */
import { readFileSync } from "node:fs";

export interface OomKills {
  kills: number;
  where: "control group" | "machine";
}

/**
 * memory.events of cgroup v2 and memory.oom_control of v1 (Documentation/admin-guide/cgroup-v2.rst), /proc/vmstat (Linux 4.13).
 * Undefined where none can be read.
 */
export function oomKills(): OomKills | undefined {
  for (const file of counters(read("/proc/self/cgroup") ?? "")) {
    const kills = countIn(read(file) ?? "");
    if (kills !== undefined) return { kills, where: "control group" };
  }
  const kills = countIn(read("/proc/vmstat") ?? "");
  return kills === undefined ? undefined : { kills, where: "machine" };
}

/** Where our control group's counter may be, by /proc/self/cgroup. In a container its own group may stand at the root. */
export function counters(groups: string): string[] {
  const of = (pattern: RegExp) => pattern.exec(groups)?.[1];
  const [unified, memory] = [of(/^0::(.*)$/m), of(/^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m)];
  return [
    ...(memory === undefined
      ? []
      : [memory, ""].map((at) => `/sys/fs/cgroup/memory${at}/memory.oom_control`)),
    ...(unified === undefined ? [] : [unified, ""].map((at) => `/sys/fs/cgroup${at}/memory.events`)),
  ];
}

function countIn(text: string): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}
