/** `--watch-path`: a file that deploys touch. It need not be there yet; its directory should. */
import { statSync } from "node:fs";
import { dirname, join } from "node:path";

/** The warning for a path that can never be touched, or too often. */
export function watchNote(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  if (kindOf(path) === "directory")
    return `--watch-path ${path} is a directory: each file that is created or removed in it leads to a swap; name a file in it: --watch-path ${join(path, "restart.txt")}`;
  const directory = dirname(path);
  const kind = kindOf(directory);
  if (kind === "directory" || kind === "hidden") return undefined;
  return `--watch-path ${path}: no directory ${directory}, so nothing can be touched there; create it, or correct the path`;
}

/** What may not be looked at is told when the watch fails. */
function kindOf(path: string): "directory" | "other" | "missing" | "hidden" {
  try {
    return statSync(path).isDirectory() ? "directory" : "other";
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    return ["ENOENT", "ENOTDIR"].includes(code) ? "missing" : "hidden";
  }
}
