/** `hupwatch run`: wraps a command and swaps it on SIGHUP. */
import { Adoption } from "../instance/adoption.ts";
import { PidFile } from "../instance/pidfile.ts";
import { isKilledByTaking } from "../intercept/own-program.ts";
import { hearOfLackingAids } from "../os/aid.ts";
import { realOs } from "../os/os.ts";
import type { RunValues } from "../plan/run-values.ts";
import { Audience } from "./audience.ts";
import { type Command, command } from "./command.ts";
import { without } from "./degraded.ts";
import { earlierKeeper, interceptionTrial } from "./keeping.ts";
import { prepare } from "./prepared.ts";
import { RUN_OPTIONS } from "./run-options.ts";
import { inSandbox } from "./sandbox.ts";
import { surviveBugs } from "./signals.ts";
import { supervise } from "./supervise.ts";

const run: Command<typeof RUN_OPTIONS> = command({
  name: "run",
  summary: "Wrap a command; on SIGHUP replace it with a fresh copy of itself and drop no request.",
  usage: "[options] [--] command [args...]",
  options: RUN_OPTIONS,
  examples: [
    {
      command: "hupwatch -- gunicorn app:app --bind unix:/tmp/app.sock",
      meaning: "then 'kill -HUP <pid>' after each deploy",
    },
    {
      command: "hupwatch -b :8080 -- ./server --listen-fd {fd}",
      meaning: "a server that takes its listener as a descriptor",
    },
  ],
  epilogue: [
    "SIGNALS",
    "",
    "  HUP              swap",
    "  TERM, INT        leave, and the service goes on; with -k stop it gracefully first; a second one hurries that",
    "  QUIT             stop the command at once, then exit",
    "  USR1 USR2 WINCH TTIN TTOU   passed on to the serving generation",
    "",
    "EXIT CODES",
    "",
    "  the command's own; 128+n if signal n killed it; 125 hupwatch failed, 126 not executable, 127 not found",
  ].join("\n"),
  usageExitCode: 125,
  wraps: true,
  run: ({ values, positionals }) => wrap(values, positionals),
});

export default run;

async function wrap(values: RunValues, words: readonly string[]): Promise<number> {
  using prepared = prepare(values, words, await interceptionTrial(values));
  using _bugs = surviveBugs(prepared.log);
  using _aids = hearOfLackingAids(without(prepared.log));
  using audience = new Audience(prepared);
  using adoption = await Adoption.claim(
    prepared,
    inSandbox(realOs, isKilledByTaking),
    audience.tell,
    earlierKeeper,
  );
  // Before the sockets, so that a bad place fails early.
  using pidfile = prepared.pidfile === undefined ? undefined : new PidFile(prepared.pidfile, process.pid);
  using held = await adoption.hold();
  pidfile?.publish();
  if (pidfile) audience.join(pidfile.consume);
  return await supervise(prepared, audience, held.give(), adoption);
}
