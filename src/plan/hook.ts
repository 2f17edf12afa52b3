/** `--hook EVENT=CMD`: a shell line of the user's, and what it is run at. Parsing only. */
import { usage } from "./values.ts";

export const HOOK_EVENTS = ["ready", "unconfirmed", "swapped", "rolled-back", "crashed", "stopped"] as const;
export type HookEvent = (typeof HOOK_EVENTS)[number];

export interface Hook {
  event: HookEvent;
  /** For sh -c. */
  line: string;
}

/** Throws a usage error that names the value. */
export function parseHook(text: string): Hook {
  const [name = "", ...rest] = text.split("=");
  const line = rest.join("=").trim();
  const event = HOOK_EVENTS.find((known) => known === name);
  if (event !== undefined && line !== "") return { event, line };
  throw usage(
    `--hook '${text}' is not a hook`,
    `write EVENT=CMD, where EVENT is one of ${HOOK_EVENTS.join(", ")}`,
  );
}
