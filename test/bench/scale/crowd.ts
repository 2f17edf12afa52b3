/** Idle processes in a session of their own, which no hupwatch has started: what a large machine is full of. */
const SCRIPT = 'n=0; while [ $n -lt "$0" ]; do sleep infinity & n=$((n+1)); done; echo up; wait';

export class Crowd implements AsyncDisposable {
  private constructor(private readonly shell: Bun.Subprocess<"ignore", "pipe", "inherit">) {}

  /** Resolves when all of them run. */
  static async gather(size: number): Promise<Crowd> {
    const shell = Bun.spawn(["sh", "-c", SCRIPT, `${size}`], {
      stdio: ["ignore", "pipe", "inherit"],
      detached: true,
    });
    const crowd = new Crowd(shell);
    const { value } = await shell.stdout.getReader().read();
    if (new TextDecoder().decode(value) === "up\n") return crowd;
    await crowd[Symbol.asyncDispose]();
    throw new Error(`${size} processes cannot be started here`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      process.kill(-this.shell.pid, "SIGKILL");
    } catch {
      // It could not be started, and has ended.
    }
    await this.shell.exited;
  }
}
