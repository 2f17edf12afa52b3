/** Renders a command's help. The only user of citty's renderer, loaded only when somebody asks. */
import { type ArgsDef, type CommandDef, renderUsage } from "citty";
import { COMMON_OPTIONS, type Command, type OptionTable } from "./command.ts";
import { SUMMARIES } from "./summaries.ts";

export async function renderHelp(cmd: Command): Promise<string> {
  const usage = await renderUsage(asCitty(cmd), { meta: { name: "hupwatch" } });
  const parts = [plainUnlessTerminal(usage.trimEnd())];
  if (cmd.name === "run") parts.push(listCommands());
  if (cmd.examples.length > 0) {
    const lines = cmd.examples.map((e) => `  ${e.command}\n      ${e.meaning}`);
    parts.push(`EXAMPLES\n\n${lines.join("\n")}`);
  }
  if (cmd.epilogue) parts.push(cmd.epilogue);
  return `${parts.join("\n\n")}\n`;
}

function asCitty(cmd: Command): CommandDef {
  return {
    meta: { name: `${cmd.name} ${cmd.usage}`, description: cmd.summary },
    args: cittyArgs({ ...cmd.options, ...COMMON_OPTIONS }),
  };
}

function cittyArgs(table: OptionTable): ArgsDef {
  return Object.fromEntries(
    Object.entries(table).map(([name, o]) => [
      name,
      {
        type: o.type,
        description: o.default ? `${o.help} (default ${o.default})` : o.help,
        ...(o.short ? { alias: o.short } : {}),
        ...(o.value ? { valueHint: o.value } : {}),
      },
    ]),
  ) as ArgsDef;
}

function listCommands(): string {
  const width = Math.max(...Object.keys(SUMMARIES).map((n) => n.length));
  const rows = Object.entries(SUMMARIES).map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`);
  return `COMMANDS\n\n${rows.join("\n")}\n\n  'hupwatch COMMAND --help' shows the options of one.`;
}

/** citty colours by its own guess; help that is piped into a file or a pager must be plain. */
function plainUnlessTerminal(text: string): string {
  const colour = process.stdout.isTTY && !process.env.NO_COLOR;
  return colour ? text : Bun.stripANSI(text);
}
