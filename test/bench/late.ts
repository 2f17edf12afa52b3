/**
 * What becomes of clients that connect at a reload and say nothing until the old one has got its stop signal, as browsers and proxies do that
 * connect beforehand: by each server's own reload, and below hupwatch. Writes its table into src/verify/README.md; some ten minutes.
 *
 *     bun test/bench/late.ts [--only REGEX] [--swaps N]
 */
import { parseArgs } from "node:util";
import { Place } from "../../fixtures/demo/place.ts";
import { placeIn } from "../harness/contract.ts";
import { VERIFY_README, withPart } from "../readme.ts";
import { installServers } from "../setup/install-servers.ts";
import type { ServerRow } from "../setup/server-row.ts";
import { makeVirtualenv } from "../setup/virtualenv.ts";
import { install } from "./installed.ts";
import { LATE_ROWS, type LateRow } from "./rivals/contenders.ts";
import { installAll } from "./rivals/installed.ts";
import type { Rival } from "./rivals/rival.ts";
import { type Seen, seenIn } from "./rivals/seen.ts";
import { judged } from "./rivals/turn.ts";

const { values } = parseArgs({
  options: { only: { type: "string", default: "" }, swaps: { type: "string", default: "2" } },
});
const swaps = Number(values.swaps);
const MODES = "fresh,late";
const RATE = 20;

/** Below hupwatch the judge hears of the stop signal itself. */
const WAYS: Record<string, readonly string[]> = {
  "with `--kept-connections close`": ["--kept-connections", "close"],
  "with `--kept-connections adopt`": ["--kept-connections", "adopt"],
  "with `--drain-until-idle 0`": ["--drain-until-idle", "0", "--kept-connections", "close"],
};

const ending = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => ending.abort());

async function below(server: ServerRow, options: readonly string[], launcher: string): Promise<Seen> {
  using place = new Place();
  const site = await placeIn(place.path, "tcp");
  await Bun.write(`${site.directory}/VERSION`, "0\n");
  await server.deploy?.(site, "0");
  const report = `${place.path}/report.json`;
  const words = ["-q", "--json", report, "--mode", MODES, "--rate", `${RATE}`, "--swaps", `${swaps}`];
  const judge = Bun.spawn(
    [
      launcher,
      "verify",
      ...words,
      ...options,
      ...(server.options?.(site) ?? []),
      "--",
      ...server.command(site),
    ],
    {
      cwd: site.directory,
      env: place.environment({ HUPWATCH_BUN: process.execPath, PWD: site.directory }),
      stdio: ["ignore", "ignore", "pipe"],
      signal: ending.signal,
    },
  );
  const [said, code] = [await judge.stderr.text(), await judge.exited];
  if (!(await Bun.file(report).exists())) throw new Error(`verify ended with code ${code}: ${said.trim()}`);
  return seenIn(await Bun.file(report).json());
}

const own = (rival: Rival, launcher: string): Promise<Seen> =>
  judged(rival, { swaps, rate: RATE, modes: MODES }, launcher, ending.signal);

/** `3 of 20`, and what the others lost beside it. */
function cellOf({ late, othersLost, swapped, swaps: asked }: Seen): string {
  const unfinished = swapped < asked ? `, ${asked - swapped} of ${asked} swaps not over` : "";
  return `${late.lost} of ${late.started}${othersLost > 0 ? `, and ${othersLost} others` : ""}${unfinished}`;
}

async function rowOf({ server, rival }: LateRow, launcher: string): Promise<string> {
  const cells = [server.name];
  const turns = [
    ...(rival ? [() => own(rival, launcher)] : [undefined]),
    ...Object.values(WAYS).map((options) => () => below(server, options, launcher)),
  ];
  for (const turn of turns) {
    const cell = turn
      ? await turn().then(cellOf, (error: unknown) => `? (${String(error).split("\n")[0]})`)
      : "–";
    if (ending.signal.aborted) process.exit(1);
    console.error(`${server.name}: ${cell}`);
    cells.push(turn === turns[0] && rival ? `${cell} (${rival.name.replace("its own ", "")})` : cell);
  }
  return `| ${cells.join(" | ")} |`;
}

await makeVirtualenv();
installServers({ forTable: false });
installAll();
using hupwatch = await install("package");
const head = ["server", "with its own reload", ...Object.keys(WAYS)];
const rows: string[] = [];
for (const row of LATE_ROWS.filter(({ server }) => new RegExp(values.only, "i").test(server.name)))
  rows.push(await rowOf(row, hupwatch.launcher));
const table = [`| ${head.join(" | ")} |`, `| ${head.map(() => "---").join(" | ")} |`, ...rows].join("\n");
console.log(table);
if (values.only === "")
  await Bun.write(VERIFY_README, withPart(await Bun.file(VERIFY_README).text(), "late", `\n\n${table}\n\n`));
process.exit(0);
