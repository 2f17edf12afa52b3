/** What a config file of puma computes: puma's own code is run to read it, and starts no server. */
import { answerOf, MARK, type Unasked } from "../reading/asking.ts";
import type { Recognised } from "../reading/recognise.ts";

export interface PumaSettings {
  binds: string[];
  pidfile?: string;
  /** For pumactl. */
  state?: string;
  /** The file uses HUPWATCH_GENERATION. */
  numbersItself: boolean;
  /** `token`: another one in each copy, none at all, or one that the file names. */
  control?: { url: string; token: "random" | "none" | "named" };
}

/** Puma::Launcher.new loads the file by the same call (puma/configuration.rb); nothing is bound. */
const PROGRAM = `
require "json"
require "puma"
require "puma/configuration"
Puma::Configuration.define_singleton_method(:random_token) { "random" }
conf = Puma::Configuration.new({ config_files: [ARGV[0]] })
conf.load
conf.clamp
o = conf.options
answer = { binds: o[:binds] || [], numbersItself: File.read(ARGV[0]).include?("HUPWATCH_GENERATION") }
answer[:pidfile] = o[:pidfile].to_s if o[:pidfile]
answer[:state] = o[:state].to_s if o[:state]
token = %w[random none].include?(o[:control_auth_token]) ? o[:control_auth_token] : "named"
answer[:control] = { url: o[:control_url], token: token } if o[:control_url]
puts
puts ${JSON.stringify(MARK)} + answer.to_json
`;

export function askPuma(found: Recognised, config: string): PumaSettings | Unasked {
  return answerOf(found, () => ["ruby", "-e", PROGRAM, config], "puma was run to print its settings");
}
