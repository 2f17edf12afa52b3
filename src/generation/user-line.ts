/**
 * A shell line of the user for one generation: a readiness check, a preflight, a judge. It runs as the command's user, in its
 * directory, in its own session, and is ended with everything that it has started.
 */
import type { Os } from "../os/os.ts";
import type { ExitStatus } from "../os/spawn.ts";
import type { RunPlan } from "../plan/run-plan.ts";

export interface UserLine {
  readonly exited: Promise<ExitStatus>;
  /** At once, its whole tree. */
  kill(): void;
}

/** Marks what a line has started, besides the marks of its generation. */
const MARK = "HUPWATCH_LINE";
let lines = 0;

/** `output`: where it writes both streams; left out, nowhere. Throws HupwatchError where it cannot be started. */
export function runLine(
  os: Os,
  plan: RunPlan,
  line: string,
  { env, output }: { env: Record<string, string>; output?: number | undefined },
): UserLine {
  const mark = `${os.pid}-${++lines}`;
  const child = os.spawn({
    argv: ["/bin/sh", "-c", line],
    env: { ...env, [MARK]: mark },
    cwd: plan.directory,
    descriptors: [],
    listenPid: false,
    dieWithParent: plan.killAtExit,
    user: plan.user,
    group: plan.group,
    umask: plan.umask,
    stdout: output ?? "ignore",
    stderr: output,
  });
  const { pid, startTime } = child;
  const kill = () => {
    for (const one of os.tree({ leader: { pid, startTime }, marks: [`${MARK}=${mark}`], uids: [] }))
      os.kill(one, "SIGKILL");
  };
  return { exited: child.exited, kill };
}
