/** Files that a server reads, read for what they say of its addresses. */
import { readFileSync, statSync } from "node:fs";

/**
 * Undefined: it is not there, we may not read it, or it is no regular file. What comes from a pipe (`-C <(make-config)`) comes once, and is
 * the server's. The server itself says best what is wrong with it. Likewise where it is larger than `bytesMax`.
 */
export function configText(path: string, bytesMax = Number.POSITIVE_INFINITY): string | undefined {
  try {
    const stat = statSync(path);
    return stat.isFile() && stat.size <= bytesMax ? readFileSync(path, "utf8") : undefined;
  } catch {
    return undefined;
  }
}
