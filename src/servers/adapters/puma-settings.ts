/** The addresses that a config file of puma computes: asked of puma's own code, which starts no server. */
import { answerOf, MARK, type Unasked } from "../reading/asking.ts";
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

export function askPuma(found: Recognised, config: string): string[] | Unasked {
  return answerOf(found, () => ["ruby", "-e", PROGRAM, config], "puma was asked for its addresses");
}
