/** `hupwatch explain`: what a run of this command line would start, hold, check and send, and why. Runs nothing. */
import { styleText } from "node:util";
import { ANSWER, HupwatchError } from "../error.ts";
import { chooseRunDir } from "../instance/run-dir.ts";
import { isKilledByTaking } from "../intercept/own-program.ts";
import { whyNotIntercepted } from "../intercept/trial.ts";
import { callerEnvironment } from "../os/caller.ts";
import { forbidWrites, isTerminal } from "../os/libc.ts";
import { realOs } from "../os/os.ts";
import { requireIdentity } from "../os/setpriv.ts";
import { readOptions } from "../plan/options.ts";
import { type Planned, planRun } from "../plan/plan.ts";
import type { RunValues } from "../plan/run-values.ts";
import { command } from "./command.ts";
import { explain } from "./explanation.ts";
import { renderExplanation } from "./explanation-text.ts";
import { print, printJson } from "./print.ts";
import { RUN_OPTIONS } from "./run-options.ts";
import { isTakingRefused } from "./sandbox.ts";
import { startWarnings } from "./start-warnings.ts";

const EXPLAIN_OPTIONS = {
  ...RUN_OPTIONS,
  json: { type: "boolean", help: "print it as JSON (schema hupwatch-explain/1)" },
} as const;

export default command({
  name: "explain",
  summary: "Show what a run would start, hold and check, and why; run nothing.",
  usage: "[run options] [--] command [args...]",
  options: EXPLAIN_OPTIONS,
  usageExitCode: 2,
  wraps: true,
  examples: [
    {
      command: "hupwatch explain -- gunicorn app:app --bind unix:/tmp/app.sock",
      meaning: "what gunicorn would get, and what is changed in its command line",
    },
    {
      command: "hupwatch explain -b :8080 --json -- ./server",
      meaning: "the same for a script",
    },
  ],
  epilogue: [
    "EXIT CODES",
    "",
    "  0    explained",
    "  2    usage, or a command line that a run would refuse",
    "  126  explained, and the command cannot be run",
    "  127  explained, and the command was not found",
    "",
    "  A warning names what else a start would fail by. Nothing is run, with one exception: where only",
    "  a config file or a runner (poetry, uv) knows the answer, it is run as the command's user, so",
    "  that it can write nothing (Landlock), and explain says so. Values of --env-file are not shown.",
  ].join("\n"),
  async run({ values, positionals }) {
    const env = callerEnvironment();
    const uid = process.getuid?.() ?? 0;
    const runDir = chooseRunDir(values["run-dir"], env, uid);
    const what = planned(values, positionals, runDir.path);
    const { warnings, exitCode } = await startWarnings(what.plan, { runDir, env, uid });
    const isRefused = isTakingRefused(realOs, isKilledByTaking);
    const explanation = explain(what, positionals, env, warnings, isRefused);
    const bold = process.stdout.isTTY && !env.NO_COLOR;
    if (values.json) await printJson(explanation);
    else await print(renderExplanation(explanation, (label) => (bold ? styleText("bold", label) : label)));
    return exitCode;
  },
});

/** As `run` plans it. An error in the command line is a usage error here, whatever exit code `run` has for it. */
function planned(values: RunValues, words: readonly string[], runDir: string): Planned {
  const { pid, ppid } = process;
  const env = callerEnvironment();
  try {
    const look = lookAs(values, words);
    const cwd = process.cwd();
    const around = { env, cwd, pid, ppid, stderrIsTerminal: isTerminal(2), runDir, whyNotIntercepted, look };
    return planRun(readOptions(values, words, around));
  } catch (error) {
    if (!(error instanceof HupwatchError)) throw error;
    throw new HupwatchError(error.code, error.message, {
      exitCode: ANSWER.usage,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    });
  }
}

/** Programs that are run to read the command can write nothing. Where that is not possible, or not as the command's user, none is run. */
function lookAs({ user, group }: RunValues, words: readonly string[]): "confined" | "blind" {
  try {
    requireIdentity(words[0] ?? "", { user, group });
  } catch (error) {
    if (error instanceof HupwatchError) return "blind"; // told among the warnings
    throw error;
  }
  return forbidWrites(DEVICES) ? "confined" : "blind";
}

/** Any program may write to these. */
const DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];
