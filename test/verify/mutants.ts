/**
 * hupwatch with one bug put in: what an author might write without having thought of it. Each must turn its own check of
 * `hupwatch verify` red, with the very run that leaves it green where nothing was changed.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../setup/places.ts";
import { TINY } from "./tools.ts";

export interface Mutant {
  /** Below src. */
  file: string;
  /** There exactly once. */
  from: string;
  to: string;
  /** Options of verify and the command. */
  words: readonly string[];
  /** The check that must fail. */
  check: string;
  details: RegExp;
}

const tiny = [process.execPath, TINY];

/**
 * Reads each connection 300 ms after it has accepted it, and TERM ends it on the spot: what is accepted and unread then is
 * lost, as with the servers that close what they have not read.
 */
const CARELESS = `
import asyncio, os, socket
async def serve(reader, writer):
    await asyncio.sleep(0.3)
    if await reader.read(65536):
        version = os.environ["HUPWATCH_GENERATION"].encode()
        writer.write(b"HTTP/1.1 200 OK\\r\\nX-Version: " + version + b"\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    writer.close()
async def main():
    async with await asyncio.start_unix_server(serve, sock=socket.socket(fileno=3)) as server:
        await server.serve_forever()
asyncio.run(main())
`;

const LEAVES_ONE = ["sh", "-c", 'setsid sleep 1000 >/dev/null 2>&1 & exec "$0" "$@"', ...tiny];

export const MUTANTS: Record<string, Mutant> = {
  "stops the old one before the new one is ready (I2)": {
    file: "swap/moves.ts",
    from: "    boot(next),\n  );",
    to: '    boot(next),\n    retire(current, "drain"),\n  );',
    words: ["-m", "fresh", "--swap-timeout", "4s", "--", ...tiny],
    check: "order",
    details: /got its stop signal \d+(\.\d)? ms after the HUP/,
  },
  "stops the old one with the flip, without a settle time": {
    file: "generation/settle.ts",
    from: "  let timer = clock.after(ms, () => {",
    to: "  let timer = clock.after(0, then);\n  clock.after(ms, () => {",
    // In one swap of some thirty no client is under way just then.
    words: ["-n", "4", "-m", "fresh", "-r", "60", "-c", "200", "--", "python3", "-c", CARELESS],
    check: "unread-at-stop",
    details: /waited for a first byte then, [1-9]\d* lost/,
  },
  "flips by unlink and a new name, and not by rename (I3)": {
    file: "sockets/public-path.ts",
    from: "        renameSync(link, place.at(basename(path)));\n      } catch",
    // As long as a server takes that binds anew.
    to: '        require("node:fs").rmSync(place.at(basename(path)));\n        Bun.sleepSync(50);\n        renameSync(link, place.at(basename(path)));\n      } catch',
    words: ["-m", "fresh", "-r", "500", "-c", "200", "--", ...tiny],
    check: "drops",
    details: /x connect-missing \(ENOENT/,
  },
  "forgets a HUP that comes in a swap (I4)": {
    file: "swap/moves.ts",
    from: "  base.again ? beginSwap(base, current, ...effects) : serve(base, current, ...effects);",
    to: "  serve(base, current, ...effects);",
    words: ["-m", "fresh", "--chaos-with", "phases", "--swap-timeout", "4s", "--", ...tiny],
    check: "hups",
    details: /phases: while a generation booted/,
  },
  "asks the old one whether the new one is ready": {
    file: "sockets/held-unix.ts",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the source's own
    from: "        if (handle !== undefined) return Probe.unix(`/proc/self/fd/${handle}`);",
    to: "        if (handle !== undefined) return Probe.unix(this.path);",
    words: [
      "-m",
      "fresh",
      "--chaos-with",
      "hang",
      "--ready-timeout",
      "2s",
      "--stop-signal",
      "TERM/500ms/KILL",
      "--swap-timeout",
      "6s",
      "--",
      ...tiny,
    ],
    check: "chaos-hang",
    details: /rolled-back/,
  },
  "leaves what a dead leader left behind (I6)": {
    file: "generation/takedown.ts",
    from: "orWithout(TREE, () => this.target.processes.all().length === 0, false)",
    to: "orWithout(TREE, () => this.target.processes.all().length >= 0, false)",
    words: ["-m", "fresh", "--", ...LEAVES_ONE],
    check: "leftovers",
    details: /\d+ sleep/,
  },
};

/** A tree of its own with that one change; `launcher` starts it. Throws where the source has moved on. */
export class MutatedTree implements Disposable {
  readonly launcher: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "hupwatch-mutant-"));

  constructor({ file, from, to }: Mutant) {
    cpSync(join(ROOT, "src"), join(this.#folder, "src"), { recursive: true });
    for (const name of ["package.json", "node_modules"])
      symlinkSync(join(ROOT, name), join(this.#folder, name));
    const path = join(this.#folder, "src", file);
    const parts = readFileSync(path, "utf8").split(from);
    if (parts.length !== 2) {
      this[Symbol.dispose]();
      throw new Error(
        `src/${file} has the mutant's place ${parts.length - 1} times: write the mutant anew\n${from}`,
      );
    }
    writeFileSync(path, parts.join(to));
    this.launcher = join(this.#folder, "src/launcher.sh");
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
