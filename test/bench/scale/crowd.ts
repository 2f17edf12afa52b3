/** What a large machine is full of, and no hupwatch has started: idle processes, or sockets, in a session of their own. */
const SCRIPT = 'n=0; while [ $n -lt "$0" ]; do sleep infinity & n=$((n+1)); done; echo up; wait';
/** Of one process: below the usual limit of its descriptors. */
const SOCKETS_EACH = 16_000;

export class Crowd implements AsyncDisposable {
  private constructor(private readonly leaders: readonly Bun.Subprocess<"pipe", "pipe", "inherit">[]) {}

  /** Resolves when all of them run. */
  static gather(size: number): Promise<Crowd> {
    return Crowd.#of([["sh", "-c", SCRIPT, `${size}`]], `${size} processes`);
  }

  /** Both ends of connections, half of them over TCP and half over Unix sockets. */
  static ofSockets(size: number): Promise<Crowd> {
    const processes = Math.ceil(size / SOCKETS_EACH);
    const words = [process.execPath, `${import.meta.dir}/connected-sockets.ts`];
    const each = Array.from({ length: processes }, () => [...words, `${Math.ceil(size / processes)}`]);
    return Crowd.#of(each, `${size} sockets`);
  }

  static async #of(commands: readonly string[][], what: string): Promise<Crowd> {
    const crowd = new Crowd(
      commands.map((words) => Bun.spawn(words, { stdio: ["pipe", "pipe", "inherit"], detached: true })),
    );
    const said = await Promise.all(crowd.leaders.map(({ stdout }) => stdout.getReader().read()));
    if (said.every(({ value }) => new TextDecoder().decode(value) === "up\n")) return crowd;
    await crowd[Symbol.asyncDispose]();
    throw new Error(`${what} cannot be had here`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { pid } of this.leaders)
      try {
        process.kill(-pid, "SIGKILL");
      } catch {
        // It could not be started, and has ended.
      }
    await Promise.all(this.leaders.map(({ exited }) => exited));
  }
}
