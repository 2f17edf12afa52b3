/** The README's generated parts. `bun test/readme.ts` writes them anew; readme.test.ts demands that they are up to date. */
import type { OptionTable } from "../src/cli/command.ts";
import { RELOAD_OPTIONS } from "../src/cli/reload.ts";
import { RUN_OPTIONS } from "../src/cli/run-options.ts";
import { STATUS_OPTIONS } from "../src/cli/status.ts";
import { STOP_OPTIONS } from "../src/cli/stop.ts";

export const README = `${import.meta.dir}/../README.md`;

function optionTable(options: OptionTable): string {
  const rows = Object.entries(options).map(([name, o]) => {
    const flags = [
      o.short && `-${o.short}`,
      `--${o.negated ? "no-" : ""}${name}${o.value ? ` ${o.value}` : ""}`,
    ]
      .filter(Boolean)
      .join(", ");
    const repeats = o.multiple ? " (repeats)" : "";
    return `| \`${flags}\`${repeats} | ${o.help} | ${o.default ?? ""} |`;
  });
  return ["| option | meaning | default |", "| --- | --- | --- |", ...rows].join("\n");
}

const PARTS: Record<string, string> = {
  "options:run": optionTable(RUN_OPTIONS),
  "options:reload": optionTable(RELOAD_OPTIONS),
  "options:status": optionTable(STATUS_OPTIONS),
  "options:stop": optionTable(STOP_OPTIONS),
};

/** The README with every generated part as the code has it. */
export function withParts(text: string): string {
  return Object.entries(PARTS).reduce((whole, [name, part]) => {
    const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [whole.indexOf(open), whole.indexOf(close)];
    if (from < 0 || to < 0) throw new Error(`README.md has no part ${name}`);
    return `${whole.slice(0, from + open.length)}\n${part}\n${whole.slice(to)}`;
  }, text);
}

if (import.meta.main) await Bun.write(README, withParts(await Bun.file(README).text()));
