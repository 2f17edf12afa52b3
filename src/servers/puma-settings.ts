/** The addresses that a config file of puma computes: asked of puma's own code, which starts no server. */
import type { Recognised } from "./recognise.ts";

/** A config file may print what it likes: our line is the one behind this mark. */
const MARK = "hupwatch-binds:";

/** Puma::Launcher.new loads the file by the same call (puma/configuration.rb); nothing is bound. */
const PROGRAM = `
require "json"
require "puma"
require "puma/configuration"
conf = Puma::Configuration.new({ config_files: [ARGV[0]] })
conf.load
conf.clamp
puts
puts ${JSON.stringify(MARK)} + (conf.options[:binds] || []).to_json
`;

const TIME_LIMIT_MS = 30_000;

/** Undefined where puma cannot be asked; what is wrong with the file its own start says best. */
export function askPuma({ front, env, directory }: Recognised, config: string): string[] | undefined {
  try {
    // In the place of `puma`, behind whatever stands before it: `bundle exec`, `env`.
    const asked = Bun.spawnSync([...front.slice(0, -1), "ruby", "-e", PROGRAM, config], {
      cwd: directory,
      env: { ...env, PWD: directory },
      stdio: ["ignore", "pipe", "ignore"],
      timeout: TIME_LIMIT_MS,
    });
    const lines = asked.stdout.toString().split("\n");
    const line = lines.findLast((l) => l.startsWith(MARK));
    return line === undefined ? undefined : (JSON.parse(line.slice(MARK.length)) as string[]);
  } catch {
    return undefined; // no Ruby in the PATH
  }
}
