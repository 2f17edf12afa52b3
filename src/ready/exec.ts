/**
 * `exec:CMD`: a shell line of the user's own exits with 0. It has the generation's environment, and HUPWATCH_SOCKET names
 * the path where only the new generation answers, where there is one: `curl --unix-socket "$HUPWATCH_SOCKET" http://x/`.
 */
import { poll } from "../os/clock.ts";
import type { Check } from "./check.ts";

const PAUSE_MS = 250;
const ATTEMPT_MS = 10_000;

export const execCheck = (line: string): Check => ({
  label: `exec:${line}`,
  needs: [],
  start({ clock, run, note }, passed) {
    let attempt: { kill(): void } | undefined;
    let startedAt = 0;
    note("it has not ended");
    const polling = poll(clock, PAUSE_MS, () => {
      if (attempt) {
        if (clock.now() - startedAt > ATTEMPT_MS) attempt.kill();
        return "more";
      }
      startedAt = clock.now();
      const started = run(line);
      attempt = started;
      void started.exited.then(({ code, signal }) => {
        attempt = undefined;
        if (code === 0) passed();
        else note(signal ? `it was ended by ${signal}` : `it exited with ${code}`);
      });
      return "more";
    });
    return {
      [Symbol.dispose]: () => {
        polling[Symbol.dispose]();
        attempt?.kill();
      },
    };
  },
});
