/** The generated parts of the documents. `bun test/readme.ts` writes them anew; readme.test.ts demands that they are up to date. */
import type { OptionTable } from "../src/cli/command.ts";
import { HOLD_OPTIONS } from "../src/cli/hold.ts";
import { RELOAD_OPTIONS } from "../src/cli/reload.ts";
import { RESUME_OPTIONS } from "../src/cli/resume.ts";
import { RUN_OPTIONS } from "../src/cli/run-options.ts";
import { STATUS_OPTIONS } from "../src/cli/status.ts";
import { STOP_OPTIONS } from "../src/cli/stop.ts";
import { TARGET_OPTIONS } from "../src/cli/target.ts";
import { ADAPTERS } from "../src/servers/adapters.ts";

const TOP = `${import.meta.dir}/..`;

export const README = `${TOP}/README.md`;
export const COMMAND_LINE = `${TOP}/src/cli/README.md`;
/** The table of the adapters, and those that test/servers-table.ts measures. */
export const SERVERS_README = `${TOP}/src/servers/README.md`;
/** The table that `bun run bench:rivals` measures. */
export const VERIFY_README = `${TOP}/src/verify/README.md`;

function optionTable(options: OptionTable): string {
  const rows = Object.entries(options).map(([name, o]) => {
    const flags = [
      o.short && `-${o.short}`,
      `--${o.negated ? "no-" : ""}${name}${o.value ? ` ${o.value}` : ""}`,
    ]
      .filter(Boolean)
      .join(", ");
    const repeats = o.multiple ? " (repeats)" : "";
    return `| \`${flags}\`${repeats} | ${o.help} | ${o.default ?? o.otherwise ?? ""} |`;
  });
  return ["| option | meaning | default |", "| --- | --- | --- |", ...rows].join("\n");
}

const PARTS: Record<string, string> = {
  "options:run": optionTable(RUN_OPTIONS),
  "options:reload": optionTable(RELOAD_OPTIONS),
  "options:status": optionTable(STATUS_OPTIONS),
  "options:stop": optionTable(STOP_OPTIONS),
  "options:hold": optionTable({ ...HOLD_OPTIONS, ...TARGET_OPTIONS }),
  "options:resume": optionTable(RESUME_OPTIONS),
  "options:decide": optionTable(TARGET_OPTIONS),
};

/** The document of the command line with every generated part as the code has it. */
export function withParts(text: string): string {
  return Object.entries(PARTS).reduce((whole, [name, part]) => withPart(whole, name, `\n${part}\n`), text);
}

/** The document of the servers with the table that the adapters make. */
export function withAdapters(text: string): string {
  const rows = ADAPTERS.flatMap(({ shown }) => shown).map(
    ({ server, takes, stopped }) => `| ${server} | ${takes} | ${stopped} |`,
  );
  const table = ["| server | takes its sockets by | is stopped by |", "| --- | --- | --- |", ...rows];
  return withPart(text, "adapters", `\n\n${table.join("\n")}\n\n`);
}

/** What stands between the markers of this name, replaced. */
export function withPart(text: string, name: string, part: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [text.indexOf(open), text.indexOf(close)];
  if (from < 0 || to < 0) throw new Error(`there is no part ${name}`);
  return `${text.slice(0, from + open.length)}${part}${text.slice(to)}`;
}

if (import.meta.main) {
  await Bun.write(COMMAND_LINE, withParts(await Bun.file(COMMAND_LINE).text()));
  await Bun.write(SERVERS_README, withAdapters(await Bun.file(SERVERS_README).text()));
}
