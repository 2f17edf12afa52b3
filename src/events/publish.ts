/** Events go to every consumer, in order, together with their words, which are found once. One that throws costs the others nothing. */
import type { Log } from "../log.ts";
import { tellBug } from "../os/aid.ts";
import type { Told } from "./events.ts";
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

/** The event log: every event is one line, with its facts for the JSON form. */
export const logTo =
  (log: Log): Consume =>
  (_, { level, event, text, facts }) =>
    log[level](event, text, facts);
