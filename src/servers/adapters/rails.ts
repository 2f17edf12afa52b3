/**
 * `rails server` and `rackup`: a front of puma and others, which takes LISTEN_FDS as puma does. Rails refuses to start where its pid
 * file leads to a process that runs (tmp/pids/server.pid unless told otherwise), and that is the generation before.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { ServerAdapter } from "../adapter.ts";
import { generationPidfile } from "../reading/generation-files.ts";
import { lastValueOf, withMore, without } from "../reading/options.ts";
import { type Recognised, recognise } from "../reading/recognise.ts";
import { runnerNotes } from "../reading/runner-notes.ts";
import { generic } from "./generic.ts";

export const rails: ServerAdapter = {
  name: "rails",
  // As generic has it: what serves behind it is not known.
  shown: [],
  read(command) {
    const found = recognise(command, "Rails", /^(rails|rackup)$/);
    const traits = generic.read(command);
    if (!found || !traits) return undefined;
    const { front, args, program, title } = found;
    const isServer = program.name === "rackup" || /^(s|server)$/.test(args[0] ?? "");
    if (!isServer) return undefined;
    const pid = generationPidfile(pidfileOf(found), rootOf(found));
    const own = pid.own === undefined ? [] : ["-P", pid.own];
    return {
      ...traits,
      server: title,
      ...pid.traits,
      words:
        pid.own === undefined ? found.words : [...front, ...withMore(without(args, ["--pid", "-P"]), own)],
      quirks: QUIRKS,
      notes: [...runnerNotes(found), ...pid.notes],
    };
  },
};

/** Rails::Command::ServerCommand: the option, the variable, the standard name. rackup writes one only where it is told to. */
const pidfileOf = ({ args, env, program }: Recognised): string | undefined =>
  lastValueOf(args, "--pid", "-P") ??
  (program.name === "rackup" ? undefined : (env.PIDFILE ?? "tmp/pids/server.pid"));

/** `bin/rails` goes to its application's directory, unless it is in one already. */
const rootOf = ({ directory, front, program }: Recognised): string =>
  program.name === "rackup" || existsSync(resolve(directory, "config.ru")) || !front.at(-1)?.includes("/")
    ? directory
    : resolve(directory, front.at(-1) ?? "", "../..");

const QUIRKS = [
  {
    what: "it exits with 'A server is already running' if the process in its pid file lives",
    link: "https://github.com/rails/rails/blob/main/railties/lib/rails/commands/server/server_command.rb",
  },
];
