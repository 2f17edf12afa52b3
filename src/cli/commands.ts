/** The sub-commands' files, each loaded only when it is asked for. The paths are written out: the bundle has no others. */
import type { Command } from "./command.ts";
import type { CommandName } from "./summaries.ts";

export const COMMANDS: Record<CommandName, () => Promise<Command>> = {
  run: async () => (await import("./run.ts")).default as unknown as Command,
  reload: async () => (await import("./reload.ts")).default as unknown as Command,
  status: async () => (await import("./status.ts")).default as unknown as Command,
  stop: async () => (await import("./stop.ts")).default as unknown as Command,
  explain: async () => (await import("./explain.ts")).default as unknown as Command,
  load: async () => (await import("./load.ts")).default as unknown as Command,
  verify: async () => (await import("./verify.ts")).default as unknown as Command,
  demo: async () => (await import("./demo.ts")).default as unknown as Command,
  complete: async () => (await import("./complete.ts")).default as unknown as Command,
};
