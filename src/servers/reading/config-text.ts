/** Files that a server reads, read for what they say of its addresses. */
import { readFileSync, statSync } from "node:fs";

/**
 * Undefined: it is not there, we may not read it, or it is no regular file. What comes from a pipe (`-C <(make-config)`) comes once, and is
 * the server's. The server itself says best what is wrong with it.
 */
export function configText(path: string): string | undefined {
  try {
    return statSync(path).isFile() ? readFileSync(path, "utf8") : undefined;
  } catch {
    return undefined;
  }
}
