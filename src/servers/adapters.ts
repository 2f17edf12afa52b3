/** The servers hupwatch knows, asked in this order: the first that recognises the command has it. */
import type { CommandLine, ServerTraits } from "./adapter.ts";
import { generic } from "./generic.ts";
import { gunicorn } from "./gunicorn.ts";

const ADAPTERS = [
  gunicorn,
  // Recognises everything, so it stays the last.
  generic,
];

export function traitsOf(command: CommandLine): ServerTraits {
  for (const adapter of ADAPTERS) {
    const traits = adapter.read(command);
    if (traits) return traits;
  }
  throw new Error("the generic adapter recognises every command");
}
