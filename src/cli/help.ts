/**
 * Renders a command's help from its table, to fit a terminal of 80 columns. citty's own renderer puts every option on one
 * line, as wide as the widest.
 */
import { styleText } from "node:util";
import { COMMON_OPTIONS, type Command, type Option, type OptionTable } from "./command.ts";
import { SUMMARIES } from "./summaries.ts";

const WIDTH = 80;
/** Options whose own text is wider get their help on the next line. */
const FLAGS_WIDTH = 28;

export function renderHelp(cmd: Command, style = styleFor(process.stdout)): string {
  const parts = [
    fold(cmd.summary),
    `${style("USAGE")}\n\n${fold(`  hupwatch ${cmd.name === "run" ? "[run]" : cmd.name} ${cmd.usage}`, 6)}`,
    `${style("OPTIONS")}\n\n${renderOptions({ ...cmd.options, ...COMMON_OPTIONS })}`,
  ];
  if (cmd.name === "run") parts.push(`${style("COMMANDS")}\n\n${listCommands()}`);
  if (cmd.examples.length > 0) {
    const lines = cmd.examples.map((e) => `${foldCommand(`  ${e.command}`)}\n${fold(`      ${e.meaning}`)}`);
    parts.push(`${style("EXAMPLES")}\n\n${lines.join("\n")}`);
  }
  if (cmd.epilogue) parts.push(renderEpilogue(cmd.epilogue, style));
  return `${parts.join("\n\n")}\n`;
}

type Style = (heading: string) => string;

/** Bold on a terminal; plain in a file, a pager or with NO_COLOR. */
const styleFor = (stream: NodeJS.WriteStream): Style =>
  stream.isTTY && !process.env.NO_COLOR ? (heading) => styleText("bold", heading) : (heading) => heading;

function renderOptions(table: OptionTable): string {
  return Object.entries(table)
    .map(([name, option]) => {
      const flags = `  ${flagsOf(name, option)}`;
      const known = option.default ?? option.otherwise;
      const help = known ? `${option.help} (default ${known})` : option.help;
      const indent = " ".repeat(FLAGS_WIDTH);
      if (flags.length > FLAGS_WIDTH - 2) return `${flags}\n${fold(indent + help)}`;
      return fold(flags.padEnd(FLAGS_WIDTH) + help, FLAGS_WIDTH);
    })
    .join("\n");
}

/** `-b, --bind SPEC`; the long forms stand below each other. */
function flagsOf(name: string, { short, value, negated, multiple }: Option): string {
  const long = `--${negated ? "no-" : ""}${name}${value ? ` ${value}` : ""}`;
  return `${short ? `-${short}, ` : "    "}${long}${multiple ? " ..." : ""}`;
}

function listCommands(): string {
  const width = Math.max(...Object.keys(SUMMARIES).map((n) => n.length));
  const rows = Object.entries(SUMMARIES).map(([name, summary]) =>
    fold(`  ${name.padEnd(width)}  ${summary}`, width + 4),
  );
  return `${rows.join("\n")}\n\n  'hupwatch COMMAND --help' shows the options of one.`;
}

/** Headings are lines of capitals; in a row of columns the last one is folded below itself. */
function renderEpilogue(text: string, style: Style): string {
  return joinProse(text.split("\n"))
    .map((line) => {
      if (/^[A-Z ]*[A-Z]$/.test(line)) return style(line);
      const lastColumn = /^(.*\S {2,})\S/.exec(line)?.[1]?.length ?? 0;
      return lastColumn > 0 ? fold(line, Math.min(lastColumn, WIDTH / 2)) : fold(line);
    })
    .join("\n");
}

/** Joins a line of prose that is too wide with the lines that continue it, so that they can be folded together. */
function joinProse(lines: readonly string[]): string[] {
  const joined: string[] = [];
  for (const line of lines) {
    const before = joined.at(-1);
    const goesOn = before !== undefined && before.length > WIDTH && isProse(before) && isProse(line);
    if (goesOn) joined.splice(-1, 1, `${before} ${line.trim()}`);
    else joined.push(line);
  }
  return joined;
}

const isProse = (line: string): boolean => line.trim() !== "" && !/\S {2,}\S/.test(line);

/** Breaks at blanks; the lines that follow begin at `indent`, or where the first one does. */
function fold(line: string, indent = line.search(/\S|$/)): string {
  if (line.length <= WIDTH) return line;
  const at = line.lastIndexOf(" ", WIDTH);
  const begin = Math.max(indent, line.search(/\S|$/));
  // One long word is better left whole.
  if (at <= begin) return line;
  return `${line.slice(0, at).trimEnd()}\n${fold(`${" ".repeat(indent)}${line.slice(at + 1)}`, indent)}`;
}

/** A folded command line must still work when it is pasted. */
const foldCommand = (line: string): string =>
  line.length <= WIDTH
    ? line
    : fold(line, 6)
        .split("\n")
        .map((piece, i, all) => (i < all.length - 1 ? `${piece} \\` : piece))
        .join("\n");
