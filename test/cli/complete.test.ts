/** Shell completion as a shell asks for it; test/e2e/completion.test.ts has the shells themselves. */
import { afterAll, expect, test } from "bun:test";
import { cli, home } from "../harness/cli.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";

const place = home();
afterAll(() => place[Symbol.dispose]());

/** The candidates for the last word, and what the shell is to do besides. */
async function candidates(...words: string[]): Promise<{ values: string[]; directive: string }> {
  const { exitCode, stdout, stderr } = await cli(["complete", "--", ...words], place);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const lines = stdout.trim().split("\n");
  const directive = lines.pop() ?? "";
  return { values: lines.map((line) => line.split("\t")[0] ?? ""), directive };
}

test("sub-commands, options and their negations", async () => {
  expect((await candidates("st")).values).toEqual(["status", "stop"]);
  expect((await candidates("reload", "--no")).values).toEqual(["--no-wait"]);
  expect((await candidates("hold", "--f")).values).toEqual(["--for"]);
  expect((await candidates("--ready")).values).toEqual(["--ready", "--ready-timeout"]);
  expect((await candidates("load", "--mo")).values).toEqual(["--mode"]);
});

test("the wrapped command's words are the shell's own business", async () => {
  expect(await candidates("--", "gunicorn", "ap")).toEqual({ values: [], directive: ":0" });
  expect(await candidates("gunicorn", "--b")).toEqual({ values: [], directive: ":0" });
  expect(await candidates("run", "--", "reload", "--t")).toEqual({ values: [], directive: ":0" });
});

test("a path is the shell's own business, too", async () => {
  expect(await candidates("--env-file", "ap")).toEqual({ values: [], directive: ":0" });
  expect(await candidates("status", "--run-dir", "")).toEqual({ values: [], directive: ":0" });
});

test.each(["bash", "zsh", "fish"])("a script for %s", async (shell) => {
  const { exitCode, stdout } = await cli(["complete", "--shell", shell], place);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("hupwatch complete --");
});

test("bash completes with it", () => {
  const script = `
    # The bash-completion package has it.
    _get_comp_words_by_ref() { cur=\${COMP_WORDS[COMP_CWORD]}; words=("\${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
    hupwatch() { "${LAUNCHER}" "$@"; }
    source <(hupwatch complete --shell bash)
    COMP_WORDS=(hupwatch sta); COMP_CWORD=1; COMP_LINE="hupwatch sta"; COMP_POINT=12
    __hupwatch_complete
    echo "\${COMPREPLY[@]}"`;
  const { stdout } = Bun.spawnSync(["bash", "-c", script], {
    env: { ...process.env, ...place.env },
    stderr: "ignore",
  });
  expect(stdout.toString().trim()).toBe("status");
});

test("a shell's bare name is as good as the option; words behind -- are still to be completed", async () => {
  for (const shell of ["bash", "zsh", "fish"])
    expect(await cli(["complete", shell], place)).toEqual(await cli(["complete", "--shell", shell], place));
  expect(await candidates("bash")).toEqual({ values: [], directive: ":4" });
  for (const [words, message] of [
    [["tcsh"], "shell 'tcsh' is not known"],
    [["bash", "zsh"], "two shells: 'bash' and 'zsh'"],
  ] as const) {
    const { exitCode, stdout, stderr } = await cli(["complete", ...words], place);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toStartWith(`hupwatch: ${message}\nTo fix: `);
  }
});

test("another shell is refused by name", async () => {
  const { exitCode, stderr } = await cli(["complete", "--shell", "tcsh"], place);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 2,
    stderr: "hupwatch: --shell 'tcsh' is not known\nTo fix: use bash, zsh, fish\n",
  });
});
