/** Where a cell runs: containers, or this machine. All that cell.ts knows of either. */
import type { Done, Running } from "./command.ts";

export interface Place extends AsyncDisposable {
  /** Beside the service. */
  exec(words: readonly string[]): Promise<Done>;
  /** To the first process. */
  signal(name: string): Promise<void>;
  /** What hupwatch and the server have said so far, wherever the supervisor puts it. */
  log(): Promise<string>;
  /** Gracefully, and by force after so many seconds; the first process's exit code. */
  stop(graceSeconds: number): Promise<number>;
  /** Megabytes (10^6 bytes) of all that is in it, the kernel's part included; nothing where nobody counts it. */
  wholeMb(): Promise<number[]>;
  /** `hupwatch load --json` with these options, apart from the service. */
  load(options: readonly string[]): Load;
}

export interface Load extends Running {
  /** Asks it to end now and say what it found. */
  end(): Promise<Done>;
}
