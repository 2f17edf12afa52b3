/** `line:REGEX`: the generation writes a line that matches, on stdout or stderr. The line goes on to the log as ever. */
import { HupwatchError } from "../error.ts";
import type { Check } from "./check.ts";

export function lineCheck(source: string): Check {
  const pattern = compile(source);
  return {
    label: `line:${source}`,
    needs: ["output"],
    start({ onLine, note }, passed) {
      note("it has not written such a line");
      return onLine((line) => {
        if (pattern.test(line)) passed();
      });
    },
  };
}

function compile(source: string): RegExp {
  try {
    return new RegExp(source);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HupwatchError("check.invalid", `--ready 'line:${source}': ${why}`, {
      hint: "give a JavaScript regular expression, e.g. line:'Application startup complete'",
      cause,
    });
  }
}
