/** How the words before a command are read: as node:util does it, which costs a start half as much as the whole runtime. */
import { expect, test } from "bun:test";
import { parseArgs } from "node:util";
import { command, type OptionTable } from "../../src/cli/command.ts";
import { cutAtCommand, parse } from "../../src/cli/parse.ts";
import { Random } from "../swap/random.ts";

const TABLE = {
  name: { type: "string", short: "n", help: "" },
  bind: { type: "string", short: "b", multiple: true, help: "" },
  verbose: { type: "boolean", short: "v", multiple: true, help: "" },
  kill: { type: "boolean", short: "k", help: "" },
  control: { type: "boolean", negated: true, help: "" },
} as const satisfies OptionTable;

const WORDS = [
  ...[
    "--name",
    "--name=x",
    "--name=",
    "-n",
    "-nx",
    "-n=x",
    "--bind",
    "-b",
    "-b:80",
    "--bind=--",
    "--bind=-1",
  ],
  ...[
    "--verbose",
    "-v",
    "-vk",
    "-vvk",
    "-kb",
    "-kbx",
    "-vn",
    "--no-control",
    "--control",
    "--no-kill",
    "--no-name",
  ],
  ...[
    "--kill=1",
    "--no-control=1",
    "--other",
    "--other=1",
    "-z",
    "-kz",
    "--=x",
    "--__proto__",
    "--toString=1",
  ],
  ...["--", "-", "", "word", "a=b", "-1", "--no-", "---", "--name=a=b"],
];
const LINES = 5000;

const COMMAND = command({
  ...{ name: "any", summary: "", usage: "", options: TABLE, examples: [], usageExitCode: 2 },
  run: async () => 0,
});

const options = Object.fromEntries(
  Object.entries(TABLE as OptionTable).map(([name, { type, short, multiple = false }]) => [
    name,
    { type, multiple, ...(short ? { short } : {}) },
  ]),
);

function theirs(args: string[]) {
  try {
    const { values, positionals } = parseArgs({ args, options, allowNegative: true, allowPositionals: true });
    return { values: { ...values }, positionals };
  } catch {
    return "refused";
  }
}

function ours(args: string[]) {
  try {
    const { values, positionals } = parse(COMMAND, args);
    return { values, positionals };
  } catch (error) {
    // Refused here only: a value that is empty.
    return (error as Error).message.endsWith("'' is empty") ? "empty" : "refused";
  }
}

/** Where their reading ends: at `--`, else at the first word that is no option. */
function theirCut(args: string[]) {
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true, allowPositionals: true });
  const end = tokens.find(({ kind }) => kind !== "option");
  if (!end) return { head: args, wrapped: undefined };
  const atDashes = end.kind === "option-terminator";
  const wrapped = args.slice(end.index + (atDashes ? 1 : 0));
  return { head: args.slice(0, end.index), wrapped, ...(atDashes ? { atDashes } : {}) };
}

test(`${LINES} command lines are read as parseArgs of node:util reads them`, () => {
  const seen = { refused: 0, read: 0 };
  for (let seed = 1; seed <= LINES; seed++) {
    const random = new Random(seed);
    const args = Array.from({ length: random.below(6) }, () => random.pick(WORDS));
    const [our, their] = [ours(args), theirs(args)];
    const what = `seed ${seed}: ${JSON.stringify(args)}`;
    if (our === "empty") expect(JSON.stringify(their), what).toContain('""');
    else expect({ what, is: our }).toEqual({ what, is: their });
    expect({ what, is: cutAtCommand(args, TABLE) as unknown }).toEqual({ what, is: theirCut(args) });
    if (our === "refused") seen.refused++;
    else seen.read++;
  }
  expect(seen.refused).toBeGreaterThan(LINES / 10);
  expect(seen.read).toBeGreaterThan(LINES / 10);
});

test.each([
  [["--other"], "unknown option '--other'"],
  [["--other=1"], "unknown option '--other'"],
  [["-kz"], "unknown option '-z'"],
  [["--bind"], "option --bind needs a value"],
  [["-b"], "option --bind needs a value"],
  [["-b", "-k"], "option -b has no value, or one that begins with a dash: write that as -bVALUE"],
  [
    ["--bind", "--"],
    "option --bind has no value, or one that begins with a dash: write that as --bind=VALUE",
  ],
  [["-k", "--kill=1"], "option --kill takes no value"],
  [["--no-control=1"], "option --no-control takes no value"],
])("%j is refused by name", (args, message) => {
  expect(() => parse(COMMAND, args)).toThrow(message);
});
