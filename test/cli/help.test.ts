/** Every command's help fits a terminal of 80 columns, has examples, and is plain where it is no terminal. */
import { expect, test } from "bun:test";
import type { Command } from "../../src/cli/command.ts";
import { renderHelp } from "../../src/cli/help.ts";
import { SUMMARIES } from "../../src/cli/summaries.ts";

const load = async (name: string): Promise<Command> => (await import(`../../src/cli/${name}.ts`)).default;

test.each(Object.keys(SUMMARIES))("%s", async (name) => {
  const help = renderHelp(await load(name), (heading) => heading);
  const long = help.split("\n").filter((line) => line.length > 80);
  expect(long).toEqual([]);
  expect(help).toContain("\nEXAMPLES\n");
  expect(help).not.toContain("\x1b");
  for (const option of Object.keys((await load(name)).options))
    expect(help).toMatch(new RegExp(`--(no-)?${option}`));
});

test("headings are bold where a terminal is", async () => {
  const help = renderHelp(await load("run"), (heading) => `<b>${heading}</b>`);
  for (const heading of ["USAGE", "OPTIONS", "COMMANDS", "EXAMPLES", "SIGNALS", "EXIT CODES"])
    expect(help).toContain(`<b>${heading}</b>`);
});
