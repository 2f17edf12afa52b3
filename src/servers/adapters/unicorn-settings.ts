/** The settings of unicorn's config file: unicorn's own code is run to read them, and starts no server. */
import { answerOf, MARK, type Unasked } from "../reading/asking.ts";
import type { Recognised } from "../reading/recognise.ts";

export interface UnicornSettings {
  /** As configurator.rb expand_addr writes them: `host:port`, or a path. */
  listens: { address: string; umask: number }[];
  pid?: string;
}

/** bin/unicorn makes the same Configurator; nothing is bound. */
const PROGRAM = `
require "json"
require "unicorn"
set = Unicorn::Configurator.new(:config_file => ARGV[0], :use_defaults => true).set
listens = set[:listeners].map { |a| { :address => a.to_s, :umask => (set[:listener_opts][a] || {})[:umask] || 0 } }
pid = set[:pid]
puts
puts ${JSON.stringify(MARK)} + { :listens => listens }.merge(String === pid ? { :pid => pid } : {}).to_json
`;

export function askUnicorn(found: Recognised, config: string): UnicornSettings | Unasked {
  return answerOf(found, () => ["ruby", "-e", PROGRAM, config], "unicorn was run to print its settings");
}
