/** Entry: cut argv, pick the sub-command, turn what happened into an exit code. The launcher starts it. */
import { writeFileSync } from "node:fs";
import { COMMON_OPTIONS } from "./cli/command.ts";
import { COMMANDS } from "./cli/commands.ts";
import { cutAtCommand, parse } from "./cli/parse.ts";
import { print } from "./cli/print.ts";
import { asOptions } from "./cli/spelling.ts";
import { isCommandName } from "./cli/summaries.ts";
import { HupwatchError } from "./error.ts";
import { callerWords } from "./os/caller.ts";
import { plain, plainPage, quoted } from "./text.ts";
import { VERSION } from "./version.ts";

async function main(asked: readonly string[]): Promise<number> {
  const words = asOptions(asked);
  if (words[0] === "--version") return say(`hupwatch ${VERSION}\n`);
  const name = isCommandName(words[0]) ? words[0] : "run";
  const rest = words[0] === name ? words.slice(1) : words;
  const cmd = await COMMANDS[name]();
  const ownWords = cmd.wraps ? cutAtCommand(rest, { ...cmd.options, ...COMMON_OPTIONS }).head : rest;
  if (ownWords.includes("--version") && name === "run") return say(`hupwatch ${VERSION}\n`);
  if (ownWords.includes("--help") || ownWords.includes("-h"))
    return say((await import("./cli/help.ts")).renderHelp(cmd));
  if (words[0] === "run") return cmd.run(parse(cmd, rest));
  if (name === "run") return cmd.run(parse(cmd, rest)).catch((error) => misnamed(error, words[0]));
  return (await import("./cli/dispatch.ts")).dispatch(cmd, rest);
}

/** What the launcher passes first, because Bun would eat a leading `--` (oven-sh/bun#13984). */
const LAUNCHED = "cli";

/** Without that word the first one of the user's would be taken for it: `explain -- x` would run x. */
async function refuse(): Promise<never> {
  throw (await import("./cli/unlaunched.ts")).unlaunched(process.argv[1] ?? "");
}

async function misnamed(error: unknown, word: string | undefined): Promise<never> {
  throw word === undefined ? error : (await import("./cli/suggestion.ts")).suggesting(error, word);
}

async function say(text: string): Promise<number> {
  await print(text);
  return 0;
}

/** As pgrep(1), pkill(1) and ps(1) know it, in place of the runtime's name (proc(5), comm). */
function nameProcess(): void {
  try {
    writeFileSync("/proc/self/comm", "hupwatch");
  } catch {
    // A read-only /proc: it is found by its command line only.
  }
}

async function report(error: unknown): Promise<number> {
  // Where the runtime can have no libc, that is what is to be said.
  const complain = await import("./cli/complaint.ts").then(
    (complaint) => complaint.complain,
    () => console.error,
  );
  if (!(error instanceof HupwatchError)) {
    complain(plainPage(Bun.inspect(error)));
    return 125;
  }
  complain(`hupwatch: ${quoted(error.message)}${error.hint ? `\nTo fix: ${plain(error.hint)}` : ""}`);
  return error.exitCode;
}

// No await up here: bytecode is for CommonJS.
// The runtime collects garbage once behind the entry, if anything is left to do: here there is next to none yet.
setImmediate(async () => {
  const [word, ...words] = process.argv.slice(2);
  // One executable has no other entry for the programs of intercept/.
  if (word === "intercept") return (await import("./intercept/entry.ts")).enter(words);
  nameProcess();
  process.exit(await (word === LAUNCHED ? main(callerWords(words)) : refuse()).catch(report));
});
