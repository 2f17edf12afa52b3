/** Runs programs of the host for the rig: nothing waits for ever, and what fails says what it said. */

export interface Done {
  /** 128+n where signal n ended it. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface Limits {
  /** Milliseconds; then it is killed and has failed. */
  timeoutMs?: number;
  cwd?: string;
  input?: Blob | "inherit";
  env?: Record<string, string>;
}

/** Groups: what apt-get or a shell has started would live on, and keep our pipes open, when it alone is killed. */
const running = new Set<number>();

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // over already
  }
}

process.on("exit", () => running.forEach(killGroup));

export interface Running {
  /** Its outcome, good or bad. */
  done: Promise<Done>;
  /** It has said something on its standard error, or has ended. */
  said: Promise<void>;
  signal(name: NodeJS.Signals): void;
}

export function begin(words: string[], limits: Limits = {}): Running {
  const child = Bun.spawn(words, {
    stdin: limits.input ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
    env: { ...process.env, ...limits.env },
    ...(limits.cwd === undefined ? {} : { cwd: limits.cwd }),
  });
  running.add(child.pid);
  const { timeoutMs = 60_000 } = limits;
  let late = "";
  const timer = setTimeout(() => {
    late = `\nnot done after ${timeoutMs / 1000} s: killed`;
    killGroup(child.pid);
  }, timeoutMs);
  const said = Promise.withResolvers<void>();
  const texts = [child.stdout.text(), textOf(child.stderr, said.resolve), child.exited] as const;
  const done = Promise.all(texts).then(([stdout, stderr, code]) => {
    clearTimeout(timer);
    running.delete(child.pid);
    return { code, stdout, stderr: `${stderr}${late}` };
  });
  return { done, said: said.promise, signal: (name) => child.kill(name) };
}

async function textOf(stream: ReadableStream<Uint8Array>, begun: () => void): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    begun();
    text += decoder.decode(bytes, { stream: true });
  }
  begun();
  return text;
}

/** Rejects where there is no such program. */
export async function run(words: string[], limits: Limits = {}): Promise<Done> {
  return begin(words, limits).done;
}

/** Its standard output; throws where it failed. */
export async function must(words: string[], limits: Limits = {}): Promise<string> {
  const { code, stdout, stderr } = await run(words, limits);
  if (code === 0) return stdout;
  const said = `${stdout}\n${stderr}`.trim().split("\n").slice(-15).join("\n");
  throw new Error(`exit code ${code} of ${words.join(" ")}\n${said}`);
}

export const docker = (words: string[], limits: Limits = {}): Promise<string> =>
  must(["docker", ...words], limits);
