/** Events go to every consumer, in order, with their message, which is made once. A consumer that throws does not affect the others. */
import type { Log } from "../log.ts";
import { tellBug } from "../os/aid.ts";
import type { EventName, Told } from "./events.ts";
import type { ServiceEvent, Tell } from "./service-event.ts";
import { inWords } from "./words.ts";

export type Consume = (event: ServiceEvent, told: Told) => void;

export const publishTo =
  (consumers: readonly Consume[]): Tell =>
  (event) => {
    const told = inWords(event);
    for (const consume of consumers) {
      try {
        consume(event, told);
      } catch (bug) {
        tellBug(bug);
      }
    }
  };

/** Events that a client or a signal can cause any number of times. */
const REPEATABLE: ReadonlySet<EventName> = new Set(["swap.queued", "ignored"]);
/** After this time such an event is logged again, so that a user sees that a later signal was received. */
const SAME_MS = 1000;

/**
 * The event log: every event is one line, with its facts for the JSON form. Of a storm of requests only the first one is a line; the
 * number of the others is a line once a second, and before the next event.
 */
export function logTo(log: Log, now: () => number = () => performance.now()): Consume {
  let last: { told: Told; at: number; more: number } | undefined;
  const sayMore = () => {
    if (last && last.more > 0) write(log, repeated(last.told, last.more));
  };
  return (_, told) => {
    const at = now();
    const isOver = last === undefined || at - last.at >= SAME_MS;
    if (last?.told.text === told.text && (last.more > 0 || !isOver)) {
      last.more++;
      if (!isOver) return;
      sayMore();
    } else {
      sayMore();
      write(log, told);
    }
    last = REPEATABLE.has(told.event) ? { told, at, more: 0 } : undefined;
  };
}

const write = (log: Log, { level, event, text, facts }: Told) => log[level](event, text, facts);

const repeated = ({ text, facts, ...same }: Told, times: number): Told => ({
  ...same,
  text: `${text} (${times === 1 ? "once more" : `${times} times more`})`,
  facts: { ...facts, times },
});
