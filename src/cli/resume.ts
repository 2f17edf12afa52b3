/** `hupwatch resume`: a fresh copy of the command gets the connections that wait (hold). */
import { command } from "./command.ts";
import { RELOAD_OPTIONS, requestSwap } from "./reload.ts";
import { TARGET_HELP, TARGET_OPTIONS } from "./target.ts";

export const RESUME_OPTIONS = {
  timeout: RELOAD_OPTIONS.timeout,
  ...TARGET_OPTIONS,
} as const;

export default command({
  name: "resume",
  summary: "End a hold: a fresh copy of the command gets the connections that wait.",
  usage: "[options] [TARGET]",
  options: RESUME_OPTIONS,
  usageExitCode: 2,
  examples: [
    { command: "hupwatch resume shop", meaning: "the migration failed, or there is no new release" },
  ],
  epilogue: `${TARGET_HELP}
EXIT CODES

  as those of reload, and 1 if no connections wait`,
  run: ({ values, positionals }) => requestSwap("/resume", values, positionals),
});
