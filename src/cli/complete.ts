/**
 * `hupwatch complete`: prints the shell's own script (its name, or --shell), which calls back for what could follow (`complete -- WORDS`).
 * The scripts and the matching are @bomb.sh/tab's; the words come from the same tables as the help.
 */
import { RootCommand } from "@bomb.sh/tab";
import { ANSWER } from "../error.ts";
import { findInstances, runDirsOf } from "../instance/instances.ts";
import { COMMON_OPTIONS, command, type OptionTable } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { print } from "./print.ts";
import { type CommandName, isCommandName, SUMMARIES } from "./summaries.ts";
import { TARGET_OPTIONS } from "./target.ts";
import { listOf, usage } from "./values.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** With this the scripts complete file names, since we do not know the words of the wrapped command. */
const FILES = ":0\n";

const COMPLETE_OPTIONS = {
  shell: { type: "string", value: "NAME", help: `print the script for ${SHELLS.join(", ")}` },
} as const;

export default command({
  name: "complete",
  summary: "Print a completion script for bash, zsh or fish.",
  usage: "--shell NAME",
  options: COMPLETE_OPTIONS,
  usageExitCode: 2,
  wraps: true,
  examples: [
    { command: "source <(hupwatch complete --shell bash)", meaning: "in ~/.bashrc" },
    { command: "source <(hupwatch complete --shell zsh)", meaning: "in ~/.zshrc, after compinit" },
    { command: "hupwatch complete --shell fish | source", meaning: "in ~/.config/fish/config.fish" },
  ],
  async run({ values, positionals, behindDashes }) {
    if (values.shell !== undefined || (!behindDashes && positionals.length > 0)) {
      await print(scriptFor(shellOf(values.shell, positionals)));
      return ANSWER.yes;
    }
    if (positionals.length === 0) throw usage("no shell", `give --shell ${SHELLS.join(", ")}`);
    if (isWithinWrapped(positionals) || (await takesPath(positionals))) await print(FILES);
    else (await vocabulary()).parse([...positionals]);
    return ANSWER.yes;
  },
});

function shellOf(asked: string | undefined, [word = "", second]: readonly string[]): string {
  if (asked !== undefined) return listOf([asked], "--shell", SHELLS)[0] ?? "";
  if (second !== undefined) throw usage(`two shells: '${word}' and '${second}'`, "name one");
  return listOf([word], "shell", SHELLS)[0] ?? "";
}

/** The library's own script. The library can only print it. */
function scriptFor(shell: string): string {
  const { log } = console;
  const printed: string[] = [];
  console.log = (text: string) => void printed.push(text);
  try {
    new RootCommand().setup("hupwatch", "hupwatch", shell);
  } finally {
    console.log = log;
  }
  const script = `${printed.join("\n")}\n`;
  return shell === "bash" ? forBash(script) : script;
}

/**
 * What is wrong with its script for bash (0.0.22): at the press of TAB it has the line run by eval, so that `> file` empties
 * the file and `$(command)` is carried out; it offers no files, ever; and it cannot be sourced a second time.
 */
const BASH_FIXES: [string, string][] = [
  [`$(eval "$requestComp" 2>/dev/null)`, `$(hupwatch complete -- "\${words[@]:1:cword}" 2>/dev/null)`],
  ["complete -F __hupwatch_complete", "complete -o bashdefault -o default -F __hupwatch_complete"],
  ["readonly ShellCompDirective", "ShellCompDirective"],
];

function forBash(script: string): string {
  return BASH_FIXES.reduce((fixed, [wrong, right]) => {
    if (!fixed.includes(wrong)) throw new Error(`the library's script for bash has no '${wrong}' any more`);
    return fixed.replaceAll(wrong, () => right);
  }, script);
}

/** Behind an option whose value is a path. */
async function takesPath(words: readonly string[]): Promise<boolean> {
  const [first = ""] = words;
  const { options } = await COMMANDS[isCommandName(first) ? first : "run"]();
  const option = options[words.at(-2)?.replace(/^--/, "") ?? ""];
  return option?.value === "FILE" || option?.value === "DIR";
}

/** Within another command line: behind `--`, or behind a word that is not ours. */
function isWithinWrapped(words: readonly string[]): boolean {
  const before = words.slice(0, -1);
  const first = before[0];
  return before.includes("--") || (first !== undefined && !first.startsWith("-") && !isCommandName(first));
}

async function vocabulary(): Promise<RootCommand> {
  const root = new RootCommand();
  for (const [name, summary] of Object.entries(SUMMARIES) as [CommandName, string][]) {
    const { options } = await COMMANDS[name]();
    const one = root.command(name, summary);
    addOptions(one, options);
    if (name === "run") addOptions(root, options);
    // A sub-command with the options of reload takes a target.
    if (Object.keys(TARGET_OPTIONS).every((option) => option in options))
      one.argument("target", offerTargets);
  }
  return root;
}

type Completing = ReturnType<RootCommand["command"]>;

function addOptions(to: Completing, options: OptionTable): void {
  const all: OptionTable = { ...options, ...COMMON_OPTIONS };
  for (const [name, option] of Object.entries(all)) {
    const long = option.negated ? `no-${name}` : name;
    // A handler makes it an option with a value; there is nothing to offer for that value.
    if (option.type === "string") to.option(long, option.help, () => {}, option.short);
    else if (option.short) to.option(long, option.help, option.short);
    else to.option(long, option.help);
  }
}

function offerTargets(complete: (value: string, description: string) => void): void {
  const uid = process.getuid?.() ?? 0;
  for (const { name, pid } of findInstances(runDirsOf(undefined, process.env, uid), uid))
    if (pid !== undefined && !isCommandName(name)) complete(name, `pid ${pid}`);
}
