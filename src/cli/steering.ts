/** What `confirm` and `rollback` share: one request that is answered at once, and its answer in words. */
import { ask } from "../control/client.ts";
import type { SteerAnswer } from "../control/protocol.ts";
import { ANSWER } from "../error.ts";
import { plain } from "../text.ts";
import { type Command, command } from "./command.ts";
import { print, printJson } from "./print.ts";
import { TARGET_HELP, TARGET_OPTIONS, targetOf } from "./target.ts";

const ASK_MS = 10_000;

/** `good` and `bad`: what its exit codes 0 and 1 mean. */
export const steering = ({
  good,
  bad,
  ...texts
}: Pick<Command, "name" | "summary" | "examples"> & { good: string; bad: string }) =>
  command({
    ...texts,
    usage: "[options] [TARGET]",
    options: TARGET_OPTIONS,
    usageExitCode: 2,
    epilogue: `${TARGET_HELP}
EXIT CODES

  0  ${good}
  1  ${bad}
  2  usage, or no target where several run
  3  no answer in time
  4  no such hupwatch`,
    async run({ values, positionals }) {
      const { socket } = targetOf(positionals, values["run-dir"]);
      const question = { method: "POST", target: `/${texts.name}`, timeoutMs: ASK_MS } as const;
      const answer = await ask<SteerAnswer>(socket, "hupwatch-steer/1", question);
      const isGood = answer.outcome !== "nothing";
      if (values.json) await printJson(answer);
      else await print(`${inWords(answer)}\n`, isGood ? "stdout" : "stderr");
      return isGood ? ANSWER.yes : ANSWER.no;
    },
  });

export function inWords({ name, outcome, generation, serving, reason = "" }: SteerAnswer): string {
  switch (outcome) {
    case "confirmed":
      return `${plain(name)}: generation ${generation} confirmed`;
    case "rolled-back":
      return `${plain(name)}: rolled back, generation ${serving} has the clients, generation ${generation} retires`;
    case "nothing": {
      const still = serving === undefined ? "" : `generation ${serving} serves on: `;
      return `${plain(name)}: ${still}${plain(reason)}`;
    }
  }
}
