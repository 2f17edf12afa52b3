/** The sub-commands' files, each loaded only when it is asked for. The paths are written out: the bundle has no others. */
import type { Command, OptionTable } from "./command.ts";
import type { CommandName } from "./summaries.ts";

export const COMMANDS: Record<CommandName, () => Promise<Command>> = {
  run: () => defaultOf(import("./run.ts")),
  reload: () => defaultOf(import("./reload.ts")),
  status: () => defaultOf(import("./status.ts")),
  stop: () => defaultOf(import("./stop.ts")),
  confirm: () => defaultOf(import("./confirm.ts")),
  rollback: () => defaultOf(import("./rollback.ts")),
  hold: () => defaultOf(import("./hold.ts")),
  resume: () => defaultOf(import("./resume.ts")),
  explain: () => defaultOf(import("./explain.ts")),
  load: () => defaultOf(import("./load.ts")),
  verify: () => defaultOf(import("./verify.ts")),
  demo: () => defaultOf(import("./demo.ts")),
  complete: () => defaultOf(import("./complete.ts")),
};

/** A command reads only values of its own table. Here it is one of many, and TypeScript no longer knows which table it has. */
const defaultOf = async <T extends OptionTable>(file: Promise<{ default: Command<T> }>): Promise<Command> =>
  (await file).default as unknown as Command;
