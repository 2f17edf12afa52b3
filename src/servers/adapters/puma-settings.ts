/** The addresses that a config file of puma computes: asked of puma's own code, which starts no server. */
import { ask, MARK } from "../reading/asking.ts";
import type { Recognised } from "../reading/recognise.ts";

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

/** Undefined where puma cannot be asked; what is wrong with the file its own start says best. */
export function askPuma(found: Recognised, config: string): string[] | undefined {
  try {
    // In the place of `puma`, behind whatever stands before it: `bundle exec`, `env`.
    const { json } = ask([...found.front.slice(0, -1), "ruby", "-e", PROGRAM, config], found);
    return json === undefined ? undefined : (JSON.parse(json) as string[]);
  } catch {
    return undefined; // no Ruby in the PATH
  }
}
