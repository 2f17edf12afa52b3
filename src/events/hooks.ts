/**
 * Runs the user's own shell lines when something has happened: as the command's user, in the command's directory, one after
 * the other in the order of the events, each with a deadline. A hook never delays a swap, and a failed hook is only reported.
 */

import { existsSync } from "node:fs";
import { systemReason } from "../error.ts";
import { HOOK_OF } from "../os/marks.ts";
import type { Account } from "../os/setpriv.ts";
import { startAs } from "../os/spawn.ts";
import type { Hook, HookEvent } from "../plan/hook.ts";
import { plain } from "../text.ts";
import type { EventName, Facts, Told } from "./events.ts";
import type { Consume } from "./publish.ts";
import type { Tell } from "./service-event.ts";

/** Each hook event with the events of the log that run it. */
export const RUN_BY: Record<HookEvent, readonly EventName[]> = {
  ready: ["generation.ready"],
  unconfirmed: ["swap.unconfirmed"],
  swapped: ["swap.done"],
  "rolled-back": ["swap.rolled-back"],
  crashed: ["generation.crashed", "generation.start-failed"],
  stopped: ["stopped"],
};

/** A crash loop must not fill the memory. */
const MAX_QUEUED = 100;

export interface HookOptions {
  hooks: readonly Hook[];
  timeoutMs: number;
  /** The user that the lines run as: a relative one is a program of the release. */
  account: Account;
  /** Where the lines run, and what they find in their environment besides the facts. */
  directory: string;
  environment: Record<string, string>;
  onFailure: Tell;
}

export class Hooks {
  #queued = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(private readonly options: HookOptions) {}

  readonly consume: Consume = ({ event }, told) => {
    for (const hook of this.options.hooks) {
      if (!RUN_BY[hook.event].includes(event)) continue;
      if (this.#queued >= MAX_QUEUED) this.#failed(hook, "was not run: too many hooks wait already");
      else this.#add(hook, told);
    }
  };

  #add(hook: Hook, told: Told): void {
    this.#queued++;
    this.#last = this.#last.then(async () => {
      await this.#run(hook, told);
      this.#queued--;
    });
  }

  /** When all that were asked for have ended: within their deadlines. */
  finish(): Promise<void> {
    return this.#last;
  }

  async #run(hook: Hook, told: Told): Promise<void> {
    const { account, directory, environment, timeoutMs } = this.options;
    try {
      const env = { ...environment, ...hookEnvironment(hook.event, told) };
      // stdout belongs to the server: what a hook says goes to the log.
      const child = startAs(account, ["/bin/sh", "-c", hook.line], {
        // The release's directory may be gone, which is what the hook is to report.
        cwd: existsSync(`${directory}/.`) ? directory : "/",
        env,
        stdio: ["ignore", 2 as never, 2 as never],
      });
      let late = false;
      const deadline = setTimeout(() => {
        late = true;
        killGroup(child.pid);
      }, timeoutMs);
      await child.exited;
      clearTimeout(deadline);
      if (late) this.#failed(hook, `did not end within ${timeoutMs / 1000} s and was killed`);
      else if (child.signalCode) this.#failed(hook, `was killed by ${child.signalCode}`);
      else if (child.exitCode !== 0) this.#failed(hook, `exited with code ${child.exitCode}`);
    } catch (error) {
      this.#failed(hook, `could not be run: ${systemReason(error)}`);
    }
  }

  #failed({ event, line }: Hook, reason: string): void {
    this.options.onFailure({ event: "hook.failed", hook: event, command: line, reason });
  }
}

/** Each hook has a session of its own, so its children go with it. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It ended between the deadline and the signal.
  }
}

/**
 * `readyMs` becomes HUPWATCH_READY_MS. Never HUPWATCH_PID: together with HUPWATCH_GENERATION it marks the processes of a
 * generation, and a hook would be taken down with it.
 */
function hookEnvironment(event: HookEvent, { text, facts }: Told): Record<string, string> {
  return {
    HUPWATCH_EVENT: event,
    HUPWATCH_MESSAGE: variableOf(text),
    [HOOK_OF]: String(process.pid),
    ...factVariables(facts),
  };
}

function factVariables(facts: Facts): Record<string, string> {
  const known = Object.entries(facts).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    known.map(([name, value]) => [
      `HUPWATCH_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
      variableOf(value),
    ]),
  );
}

/** What one variable may hold: execve(2) refuses all of them where one has 128 KiB (MAX_ARG_STRLEN). */
const VALUE_BYTES_MAX = 64 * 1024;

/** A line each of a list. What a child wrote can neither keep the hook from running nor give orders to what the hook writes to. */
function variableOf(value: Facts[string]): string {
  const lines = Array.isArray(value) ? value : [value];
  const bytes = Buffer.from(lines.map((line) => plain(String(line))).join("\n"));
  // The last lines are those that tell why.
  return bytes.length <= VALUE_BYTES_MAX ? bytes.toString() : bytes.subarray(-VALUE_BYTES_MAX).toString();
}
