/** TypeScript in a process of its own that imports from the repository's root, e.g. "./src/sockets/held-unix.ts". */
import { ROOT } from "../setup/places.ts";

export interface Script {
  readonly output: string;
  /** Closes its stdin and waits for its end. */
  end(): Promise<void>;
}

/** How it is run; default as everything else, from the clone and by this runtime. */
export interface Means {
  bun?: string;
  root?: string;
  /** Puts words in front of the command. */
  prefix?(command: readonly string[]): string[];
}

export function startScript(script: string, means: Means = {}): Script {
  const { bun = process.execPath, root = ROOT, prefix = (command) => [...command] } = means;
  const child = Bun.spawn(prefix([bun, "-e", script]), { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
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
export async function runScript(script: string, means?: Means): Promise<string> {
  const running = startScript(script, means);
  await running.end();
  return running.output.trim();
}
