/**
 * The marks: variables that name the hupwatch and the generation of every process that a start leads to. Only this file sets and reads
 * them. A process can write anything into its environment: a mark counts only if the kernel's data on that process confirm it.
 */
import { isName } from "../text.ts";

export interface Marks {
  hupwatchPid: number;
  generation: number;
  /** Of the instance. */
  name: string;
}

const VARIABLES = {
  hupwatchPid: "HUPWATCH_PID",
  generation: "HUPWATCH_GENERATION",
  name: "HUPWATCH_NAME",
} as const satisfies Record<keyof Marks, string>;

/** Names the hupwatch of a hook, which belongs to no generation. */
export const HOOK_OF = "HUPWATCH_MASTER_PID";

/** The variables of a generation's environment. */
export const variablesOf = ({ generation, name, hupwatchPid }: Marks) => ({
  [VARIABLES.generation]: String(generation),
  [VARIABLES.name]: name,
  [VARIABLES.hupwatchPid]: String(hupwatchPid),
});

/** A line of that environment. */
export const lineOf = <M extends keyof Marks>(mark: M, value: Marks[M]): string =>
  `${VARIABLES[mark]}=${value}`;

/** What every such line begins with, whichever hupwatch it names. */
export const ANY_HUPWATCH = `${VARIABLES.hupwatchPid}=`;

/** What an environment says; without what it does not say, or says as hupwatch never writes it. */
export function marksIn(environment: readonly string[]): Partial<Marks> {
  const text = (mark: keyof Marks) => {
    const begin = `${VARIABLES[mark]}=`;
    return environment.find((line) => line.startsWith(begin))?.slice(begin.length);
  };
  const name = text("name");
  return {
    ...numbered("hupwatchPid", text("hupwatchPid")),
    ...numbered("generation", text("generation")),
    ...(name !== undefined && isName(name) ? { name } : {}),
  };
}

function numbered<M extends "hupwatchPid" | "generation">(mark: M, text: string | undefined) {
  const number = Number(text);
  return Number.isSafeInteger(number) && number > 0 ? ({ [mark]: number } as Record<M, number>) : {};
}
