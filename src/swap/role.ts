/** What a generation is in a state of the machine, as the state file and `status` have it. Pure. */
import type { Role } from "../generation/record.ts";
import type { Gen, State } from "./states.ts";

export function roleOf(gen: Gen, state: State): Role {
  if (state.draining.includes(gen)) return "retiring";
  switch (state.phase) {
    case "serving":
    case "rolling-back":
      return gen === state.current ? "serving" : "retiring";
    case "starting":
      return "starting";
    case "holding":
    case "booting":
      return gen === state.current ? "serving" : "starting";
    case "warming":
      if (!state.isConfirmed) return gen === state.next ? "unconfirmed" : "kept";
      return gen === state.next ? "serving" : "retiring";
    case "warm":
      if (gen === state.current) return "kept";
      return state.isConfirmed ? "serving" : "unconfirmed";
    case "flipping-back":
      return gen === state.current ? "serving" : "retiring";
    case "stopping":
    case "over":
      return "serving";
  }
}
