/** Entry: cut argv, pick the sub-command, turn what happened into an exit code. The launcher starts it. */
import { COMMON_OPTIONS, type Command, cutAtCommand, parse } from "./cli/command.ts";
import { type CommandName, isCommandName } from "./cli/summaries.ts";
import { HupwatchError } from "./error.ts";
import { VERSION } from "./version.ts";

const COMMANDS: Record<CommandName, () => Promise<Command>> = {
  run: async () => (await import("./cli/run.ts")).default as unknown as Command,
  reload: async () => (await import("./cli/reload.ts")).default as unknown as Command,
  status: async () => (await import("./cli/status.ts")).default as unknown as Command,
  stop: async () => (await import("./cli/stop.ts")).default as unknown as Command,
  explain: async () => (await import("./cli/explain.ts")).default as unknown as Command,
  load: async () => (await import("./cli/load.ts")).default as unknown as Command,
  verify: async () => (await import("./cli/verify.ts")).default as unknown as Command,
  complete: async () => (await import("./cli/complete.ts")).default as unknown as Command,
};

async function main(words: string[]): Promise<number> {
  const name = isCommandName(words[0]) ? words[0] : "run";
  const rest = words[0] === name ? words.slice(1) : words;
  const cmd = await COMMANDS[name]();
  const ownWords = cmd.wraps ? cutAtCommand(rest, { ...cmd.options, ...COMMON_OPTIONS }).head : rest;
  if (ownWords.includes("--version") && name === "run") return say(`hupwatch ${VERSION}\n`);
  if (ownWords.includes("--help") || ownWords.includes("-h"))
    return say((await import("./cli/help.ts")).renderHelp(cmd));
  if (name === "run") return cmd.run(parse(cmd, rest));
  return (await import("./cli/dispatch.ts")).dispatch(cmd, rest);
}

async function say(text: string): Promise<number> {
  await Bun.write(Bun.stdout, text);
  return 0;
}

function report(error: unknown): number {
  if (!(error instanceof HupwatchError)) {
    console.error(error);
    return 125;
  }
  console.error(`hupwatch: ${error.message}${error.hint ? `\nTo fix: ${error.hint}` : ""}`);
  return error.exitCode;
}

// The launcher passes the word `cli` first, because Bun would eat a leading `--` (oven-sh/bun#13984).
// No await up here: bytecode is for CommonJS.
void main(process.argv.slice(3))
  .catch(report)
  .then((code) => process.exit(code));
