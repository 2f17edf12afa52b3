/** `confirm`, `rollback` and `hold`: one request that is answered at once, and its answer in words. */
import { ask } from "../control/client.ts";
import type { SteerAnswer } from "../control/protocol.ts";
import { ANSWER } from "../error.ts";
import { plain } from "../text.ts";
import { type Command, command, type OptionTable, type Values } from "./command.ts";
import { print, printJson } from "./print.ts";
import { TARGET_HELP, TARGET_OPTIONS, targetOf } from "./target.ts";

const ASK_MS = 10_000;

interface Steering<T extends OptionTable> extends Pick<Command, "name" | "summary" | "usage" | "examples"> {
  options: T;
  /** Of the request, read from the options. Throws a usage error. */
  query?(values: Values<T>): string;
  /** What its exit codes 0 and 1 mean. */
  good: string;
  bad: string;
}

export const steering = <const T extends OptionTable>({ good, bad, query, ...texts }: Steering<T>) =>
  command<T & typeof TARGET_OPTIONS>({
    ...texts,
    options: { ...texts.options, ...TARGET_OPTIONS },
    usageExitCode: 2,
    epilogue: `${TARGET_HELP}
EXIT CODES

  0  ${good}
  1  ${bad}
  2  usage, or no target where several run
  3  no answer in time
  4  no such hupwatch`,
    async run({ values, positionals }) {
      const asked = query === undefined ? "" : `?${query(values as unknown as Values<T>)}`;
      const { json, "run-dir": runDir } = values as Values<typeof TARGET_OPTIONS>;
      const { socket } = targetOf(positionals, runDir);
      const question = { method: "POST", target: `/${texts.name}${asked}`, timeoutMs: ASK_MS } as const;
      const answer = await ask<SteerAnswer>(socket, "hupwatch-steer/1", question);
      const isGood = answer.outcome !== "nothing";
      if (json) await printJson(answer);
      else await print(`${inWords(answer)}\n`, isGood ? "stdout" : "stderr");
      return isGood ? ANSWER.yes : ANSWER.no;
    },
  });

export function inWords({ name, outcome, generation, serving, unkept, reason = "" }: SteerAnswer): string {
  switch (outcome) {
    case "confirmed":
      return `${plain(name)}: generation ${generation} confirmed`;
    case "rolled-back":
      return `${plain(name)}: rolled back, generation ${serving} has the clients, generation ${generation} retires`;
    case "held":
      return `${plain(name)}: new connections wait for generation ${generation}: 'hupwatch reload' or 'hupwatch resume' starts it${unkept === undefined ? "" : `; generation ${unkept}, which was kept, retires`}`;
    case "nothing": {
      const still = serving === undefined ? "" : `generation ${serving} serves on: `;
      return `${plain(name)}: ${still}${plain(reason)}`;
    }
  }
}
