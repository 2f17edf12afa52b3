/** A server's own code is asked what its config file says: a program for its interpreter, which starts no server. */

/** A config file may print what it likes: the answer is the last line behind this mark. Each program prints it. */
export const MARK = "hupwatch-settings:";

const TIME_LIMIT_MS = 30_000;

interface Answer {
  /** As JSON; undefined where it did not come so far. */
  json: string | undefined;
  stderr: string;
  exitCode: number;
}

/** Throws where there is no such interpreter. */
export function ask(
  words: string[],
  { env, directory }: { env: Readonly<Record<string, string>>; directory: string },
): Answer {
  const asked = Bun.spawnSync(words, {
    cwd: directory,
    env: { ...env, PWD: directory },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: TIME_LIMIT_MS,
  });
  const lines = asked.stdout.toString().split("\n");
  return {
    json: lines.findLast((line) => line.startsWith(MARK))?.slice(MARK.length),
    stderr: asked.stderr.toString(),
    exitCode: asked.exitCode,
  };
}
