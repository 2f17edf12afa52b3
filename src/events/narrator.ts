/** The log's ear: every happening is one line, with its facts for the JSON form. */

import type { Log } from "../log.ts";
import type { Tell } from "./telling.ts";

export const narrating =
  (log: Log): Tell =>
  ({ level, event, text, facts }) =>
    log[level](event, text, facts);
