/** Programs without root's rights, also where the tests run as root: same user, no capability, so files stay readable. */
import { chmodSync, chownSync, mkdirSync } from "node:fs";

const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;
const PREFIX = isRoot ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] : [];

/** False in a sandbox that does not even let root give up a right. */
export const canBePowerless: boolean = Bun.spawnSync([...PREFIX, "true"], { stderr: "ignore" }).success;

export const powerless = (command: readonly string[]): string[] => [...PREFIX, ...command];

/** A directory that a powerless program may look into and not write to. */
export function makeUnwritable(path: string): void {
  mkdirSync(path);
  if (isRoot) chownSync(path, NOBODY, NOBODY);
  chmodSync(path, 0o555);
}

type Prefix = (command: readonly string[]) => string[];

export interface Script {
  readonly output: string;
  /** Closes its stdin and waits for its end. */
  end(): Promise<void>;
}

/** TypeScript in a process of its own that imports from the repository's root, e.g. "./src/sockets/held-unix.ts". */
export function startScript(script: string, prefix: Prefix = (command) => [...command]): Script {
  const child = Bun.spawn(prefix([process.execPath, "-e", script]), {
    cwd: `${import.meta.dir}/../..`,
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  const reading = (async () => {
    for await (const bytes of child.stdout) output += Buffer.from(bytes).toString();
  })();
  return {
    get output() {
      return output;
    },
    async end() {
      child.stdin.end();
      await Promise.all([reading, child.exited]);
    },
  };
}

/** What it printed. */
export async function runScript(script: string, prefix?: Prefix): Promise<string> {
  const running = startScript(script, prefix);
  await running.end();
  return running.output.trim();
}
