/**
 * The launcher of what is published: src/launcher.sh, with the lines that say where its parts are. Each launcher knows its own
 * layout and no other.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { ROOT } from "../rig/places.ts";

const FIRST = "# Where a clone has its parts;";
const LAST = "esac\n\nif [";

/** Installed as node_modules/hupwatch/dist/js/hupwatch; bun may be beside, in node_modules/.bin. */
const PACKAGE = `# Where the package has its parts.
HUPWATCH_installed=$HUPWATCH_here/../../../.bin/bun
case $HUPWATCH_entry in demo) HUPWATCH_main=$HUPWATCH_here/demo.js ;; *) HUPWATCH_main=$HUPWATCH_here/$HUPWATCH_entry.cjs ;; esac
`;

/** The runtime is built in, and the demo is not. */
const EXECUTABLE = `exec "$HUPWATCH_here/hupwatch.bin" cli "$@"
`;

export function writePackageLauncher(path: string): void {
  const { before, after } = cut();
  write(path, `${before}${PACKAGE}${after}`);
}

export function writeExecutableLauncher(path: string): void {
  write(path, `${cut().before}${EXECUTABLE}`);
}

function cut(): { before: string; after: string } {
  const text = readFileSync(`${ROOT}/src/launcher.sh`, "utf8");
  const from = text.indexOf(FIRST);
  const to = text.indexOf(LAST, from) + LAST.indexOf("\n") + 1;
  if (from < 0 || to < from) throw new Error("src/launcher.sh no longer says where a clone has its parts");
  return { before: text.slice(0, from), after: text.slice(to) };
}

function write(path: string, text: string): void {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}
