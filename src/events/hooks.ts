/**
 * The user's own shell lines, run when something has happened: as the command's user and in the command's directory, one after
 * the other, in the order of the events, each with a deadline. A hook never delays a swap, and its failure is told and harms nothing. Owns the one that runs.
 */
import { HupwatchError } from "../error.ts";
import type { Account } from "../os/setpriv.ts";
import { startAs } from "../os/spawn.ts";
import type { EventName, Facts, Happening } from "./events.ts";
import type { Tell } from "./telling.ts";

/** Each hook event with the events of the log that run it. */
export const HOOK_EVENTS = {
  ready: ["generation.ready"],
  swapped: ["swap.done"],
  "rolled-back": ["swap.rolled-back"],
  crashed: ["generation.crashed", "generation.start-failed"],
  stopped: ["stopped"],
} as const satisfies Record<string, readonly EventName[]>;

export type HookEvent = keyof typeof HOOK_EVENTS;

export interface Hook {
  event: HookEvent;
  /** For sh -c. */
  line: string;
}

/** A crash loop must not fill the memory. */
const MAX_QUEUED = 100;

/** `EVENT=CMD`. Throws a usage error that names the value. */
export function parseHook(text: string): Hook {
  const [event = "", ...rest] = text.split("=");
  const line = rest.join("=").trim();
  if (Object.hasOwn(HOOK_EVENTS, event) && line !== "") return { event: event as HookEvent, line };
  throw new HupwatchError("usage", `--hook '${text}' is not a hook`, {
    hint: `write EVENT=CMD, where EVENT is one of ${Object.keys(HOOK_EVENTS).join(", ")}`,
  });
}

export interface HookOptions {
  hooks: readonly Hook[];
  timeoutMs: number;
  /** As whom the lines run: a relative one is a program of the release. */
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

  readonly tell: Tell = (happening) => {
    for (const hook of this.options.hooks) {
      const events: readonly EventName[] = HOOK_EVENTS[hook.event];
      if (!events.includes(happening.event)) continue;
      if (this.#queued >= MAX_QUEUED) this.#failed(hook, "was left out: too many hooks wait already");
      else this.#add(hook, happening);
    }
  };

  #add(hook: Hook, happening: Happening): void {
    this.#queued++;
    this.#last = this.#last.then(async () => {
      await this.#run(hook, happening);
      this.#queued--;
    });
  }

  /** When all that were asked for have ended: within their deadlines. */
  finish(): Promise<void> {
    return this.#last;
  }

  async #run(hook: Hook, happening: Happening): Promise<void> {
    const { account, directory, environment, timeoutMs } = this.options;
    try {
      const env = { ...environment, ...hookEnvironment(hook.event, happening) };
      // stdout belongs to the server: what a hook says goes to the log.
      const child = startAs(account, ["/bin/sh", "-c", hook.line], {
        cwd: directory,
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
      this.#failed(hook, `could not be run: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #failed({ event, line }: Hook, reason: string): void {
    this.options.onFailure({
      event: "hook.failed",
      level: "warn",
      text: `hook ${event} '${line}' ${reason}`,
      facts: { hook: event, command: line, reason },
    });
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
function hookEnvironment(event: HookEvent, { text, facts }: Happening): Record<string, string> {
  return {
    HUPWATCH_EVENT: event,
    HUPWATCH_MESSAGE: text,
    HUPWATCH_MASTER_PID: String(process.pid),
    ...factVariables(facts),
  };
}

function factVariables(facts: Facts): Record<string, string> {
  const known = Object.entries(facts).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    known.map(([name, value]) => [
      `HUPWATCH_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
      Array.isArray(value) ? value.join("\n") : String(value),
    ]),
  );
}
