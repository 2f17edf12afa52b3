/** TAB in the shells themselves, with a person's set-up: in bash and zsh typed on a terminal, in fish asked for. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { home } from "../harness/cli.ts";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { type TempDir, tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { BASH_COMPLETION } from "../setup/places.ts";

const TIMEOUT_MS = 120_000;
/** Ctrl-U: what was typed before goes. */
const CLEAR = "\x15";

const PROFILES = {
  bash: `PS1='> '
source ${BASH_COMPLETION}
source <(hupwatch complete --shell bash)
source <(hupwatch complete --shell bash) # once more, as 'source ~/.bashrc' does
bind 'set show-all-if-ambiguous on'
`,
  zsh: `PS1='> '
autoload -U compinit; compinit -u
source <(hupwatch complete --shell zsh)
`,
} as const;

/** `hupwatch` on the PATH, which completes as the real one and else only notes what was typed. */
function setUp(dir: TempDir, profile = ""): Record<string, string> {
  const script = `#!/bin/sh\n[ "$1" = complete ] && exec ${LAUNCHER} "$@"\necho "$*" >> ${dir.path}/typed\n`;
  writeFileSync(`${dir.path}/hupwatch`, script, { mode: 0o755 });
  writeFileSync(`${dir.path}/server`, "", { mode: 0o755 });
  writeFileSync(`${dir.path}/precious`, "kept");
  for (const name of [".bashrc", ".zshrc"]) writeFileSync(`${dir.path}/${name}`, profile);
  const { PATH = "", LANG = "C.UTF-8" } = process.env;
  return { HOME: dir.path, PATH: `${dir.path}:${PATH}`, LANG, TERM: "dumb" };
}

class Terminal implements AsyncDisposable {
  #screen = "";
  readonly #child: Bun.Subprocess;

  constructor(
    shell: string,
    env: Record<string, string>,
    private readonly dir: string,
  ) {
    const data = (_: unknown, bytes: Uint8Array) => {
      this.#screen += Buffer.from(bytes).toString();
    };
    this.#child = Bun.spawn([shell, "-i"], { cwd: dir, env, terminal: { cols: 100, rows: 40, data } });
  }

  async shows(pattern: RegExp): Promise<void> {
    const seen = () => pattern.test(this.#screen);
    await until(seen, { what: `${pattern}`, timeoutMs: 30_000, context: () => JSON.stringify(this.#screen) });
  }

  type(keys: string): void {
    this.#child.terminal?.write(keys);
  }

  /** What the line has become at the press of ENTER, without its first word. */
  async enter(line: string): Promise<string> {
    const path = `${this.dir}/typed`;
    const lines = () => (existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : []);
    const before = lines().length;
    this.type(`${CLEAR}${line}\r`);
    const typed = () => lines().length > before;
    await until(typed, { what: line, timeoutMs: 30_000, context: () => JSON.stringify(this.#screen) });
    return lines().at(-1) ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

describe.each(["bash", "zsh"] as const)("%s", (shell) => {
  test(
    "sub-commands, options, names of what runs, and files",
    async () => {
      using place = home();
      using dir = tempDir();
      const env = { ...setUp(dir, PROFILES[shell]), ...place.env };
      const words = ["-k", "--name", "shop", "--ready", "delay:0", "--", "sleep", "1000"];
      await using _hupwatch = await startHupwatch(words, { env: place.env });
      await using terminal = new Terminal(shell, env, dir.path);
      await terminal.shows(/> /);
      terminal.type("hupwatch st\t");
      await terminal.shows(/status.*stop/s);
      expect(await terminal.enter("hupwatch rel\t--no\t")).toBe("reload --no-wait");
      expect(await terminal.enter("hupwatch reload sh\t")).toBe("reload shop");
      expect(await terminal.enter("hupwatch --max-d\t2")).toBe("--max-draining 2");
      expect(await terminal.enter("hupwatch -- ./serv\t")).toBe("-- ./server");
      expect(await terminal.enter("hupwatch --env-file prec\t")).toBe("--env-file precious");
    },
    TIMEOUT_MS,
  );

  test(
    "TAB runs nothing that is in the line",
    async () => {
      using dir = tempDir();
      await using terminal = new Terminal(shell, setUp(dir, PROFILES[shell]), dir.path);
      await terminal.shows(/> /);
      for (const line of [
        "hupwatch -v > precious \t",
        "hupwatch -- $(touch made) \t",
        "hupwatch -v ; touch made \t",
      ]) {
        terminal.type(`${CLEAR}${line}`);
        // Taken only when TAB is done with.
        expect(await terminal.enter("hupwatch status")).toBe("status");
        expect(existsSync(`${dir.path}/made`)).toBe(false);
        expect(readFileSync(`${dir.path}/precious`, "utf8")).toBe("kept");
      }
    },
    TIMEOUT_MS,
  );
});

describe("fish", () => {
  const complete = (dir: TempDir, env: Record<string, string>, line: string): string[] => {
    const script = `hupwatch complete --shell fish | source; complete --do-complete '${line}'`;
    const { stdout } = Bun.spawnSync(["fish", "--no-config", "--command", script], { cwd: dir.path, env });
    return stdout.toString().split("\n").slice(0, -1);
  };

  test(
    "sub-commands, options, names of what runs, and files",
    async () => {
      using place = home();
      using dir = tempDir();
      const env = { ...setUp(dir), ...place.env };
      const words = ["-k", "--name", "shop", "--ready", "delay:0", "--", "sleep", "1000"];
      await using hupwatch = await startHupwatch(words, { env: place.env });
      expect(complete(dir, env, "hupwatch st")).toEqual([
        "status\tshow what runs: generations, sockets, last swaps",
        "stop\tstop a running hupwatch and its command gracefully",
      ]);
      expect(complete(dir, env, "hupwatch reload --no")).toEqual([
        "--no-wait\trequest the swap, and exit at once",
      ]);
      expect(complete(dir, env, "hupwatch reload sh")).toEqual([`shop\tpid ${hupwatch.pid}`]);
      expect(complete(dir, env, "hupwatch -- ./serv")).toEqual(["./server"]);
      complete(dir, env, "hupwatch -v (touch made) > precious ");
      expect(existsSync(`${dir.path}/made`)).toBe(false);
      expect(readFileSync(`${dir.path}/precious`, "utf8")).toBe("kept");
    },
    TIMEOUT_MS,
  );
});
