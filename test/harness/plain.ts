/** A command without hupwatch, to compare with: what it does by itself is what it has to do below hupwatch, too. */
import { until } from "./until.ts";

export interface Plain extends AsyncDisposable {
  pid: number;
}

/** In a process group of its own, which is killed at the end. */
export function startPlain(
  words: readonly string[],
  { cwd, env = {} }: { cwd: string; env?: Record<string, string> },
): Plain {
  const child = Bun.spawn([...words], {
    ...{ cwd, detached: true },
    env: { ...process.env, PWD: cwd, ...env },
    stdio: ["ignore", "ignore", "ignore"],
  });
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      await until(() => !killGroup(child.pid), { what: `the process group ${child.pid} to be gone` });
    },
  };
}

/** False where nobody is left in it. */
function killGroup(pid: number): boolean {
  try {
    return process.kill(-pid, "SIGKILL");
  } catch {
    return false;
  }
}
