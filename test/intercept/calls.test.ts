/** The filter, run by a small machine: what it lets through at once and what it holds. */
import { describe, expect, test } from "bun:test";
import { CALLS, callOf, filterFor } from "../../src/intercept/calls.ts";

const ARCHITECTURE = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** Classic BPF as far as the filter goes: ld, jeq, ret. */
function verdict(
  program: ReturnType<typeof filterFor>,
  data: { number: number; architecture: number; args?: readonly number[] },
): "trapped" | "allowed" {
  const { number, architecture, args = [] } = data;
  const words = new Map([
    [0, number],
    [4, architecture],
    ...args.map((value, i): [number, number] => [16 + 8 * i, value]),
  ]);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const [code, yes, no, k] = program[at] ?? [];
    if (code === 0x20) accumulator = words.get(k as number) ?? 0;
    else if (code === 0x15) at += accumulator === k ? (yes as number) : (no as number);
    else if (code === 0x06) return k === 0x7fc00000 ? "trapped" : "allowed";
    else throw new Error(`no instruction at ${at}`);
  }
}

describe.each(["x64", "arm64"] as const)("%s", (machine) => {
  const architecture = ARCHITECTURE[machine];
  const run = (traps: "ports" | "ports and paths", name: keyof typeof CALLS, ...args: number[]) => {
    const { number } = CALLS[name];
    return verdict(filterFor(traps, machine), {
      number: (number as Record<string, number>)[machine] ?? -1,
      architecture,
      args,
    });
  };

  test("binds and listens are held, calls on paths only where they matter, and reads never", () => {
    for (const name of ["bind", "listen"] as const) expect(run("ports", name)).toBe("trapped");
    for (const name of ["unlinkat", "renameat", "renameat2", "fchmodat", "fchownat"] as const) {
      expect(run("ports", name)).toBe("allowed");
      expect(run("ports and paths", name)).toBe("trapped");
    }
    for (let number = 0; number < 600; number++)
      if (!callOf(number, machine))
        expect(verdict(filterFor("ports and paths", machine), { number, architecture })).toBe("allowed");
  });

  test("options by level and name; connects by their length", () => {
    expect(run("ports", "setsockopt", 3, 41, 26)).toBe("trapped");
    expect(run("ports", "setsockopt", 3, 6, 23)).toBe("trapped");
    expect(run("ports", "setsockopt", 3, 6, 1)).toBe("allowed");
    expect(run("ports", "setsockopt", 3, 1, 26)).toBe("allowed");
    expect(run("ports and paths", "connect", 3, 0, 16)).toBe("allowed");
    expect(run("ports and paths", "connect", 3, 0, 28)).toBe("allowed");
    expect(run("ports and paths", "connect", 3, 0, 110)).toBe("trapped");
  });

  test("a held path whose address is as long as an IPv4 one is seen, too", () => {
    const number = (CALLS.connect.number as Record<string, number>)[machine] ?? -1;
    const args = [3, 0, 16];
    expect(verdict(filterFor("ports and paths", machine, [16]), { number, architecture, args })).toBe(
      "trapped",
    );
  });

  test("a program of another architecture is let through", () => {
    const number = (CALLS.bind.number as Record<string, number>)[machine] ?? -1;
    expect(verdict(filterFor("ports", machine), { number, architecture: 0x40000003 })).toBe("allowed");
  });
});
