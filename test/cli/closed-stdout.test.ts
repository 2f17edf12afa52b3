/** A reader that has closed the pipe (`| head -1`) gets silence: no stack trace, and the command's own exit code. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { home, shell } from "../harness/cli.ts";
import { always, TINY } from "../harness/commands.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { tempDir } from "../harness/temp-dir.ts";

/** Each command is a start of the runtime, and the machine may be busy. */
setDefaultTimeout(120_000);

/** Descriptor 3 is a pipe whose reader has come and gone. */
const NOBODY_READS = "mkfifo pipe && { : <pipe & } && exec 3>pipe && wait";

const START = ["-k", "-w", "0", "--name", "shop", "--ready", "line:stands"];

/** What a terminal shows of it, with how it exited. */
async function unheard(command: string, place: ReturnType<typeof home>, cwd: string): Promise<string> {
  const { stdout } = await shell(`${NOBODY_READS}\n${command}\necho "exit $?"`, place, cwd);
  return stdout;
}

describe("without a hupwatch that could answer", () => {
  const rows: [command: string, said: string][] = [
    ["hupwatch --version >&3", "exit 0\n"],
    ["hupwatch --help >&3", "exit 0\n"],
    ["hupwatch reload --help >&3", "exit 0\n"],
    ["hupwatch explain -- sh >&3", "exit 0\n"],
    ["hupwatch explain --json -- sh >&3", "exit 0\n"],
    ["hupwatch complete --shell bash >&3", "exit 0\n"],
    ["hupwatch complete -- -- x >&3", "exit 0\n"],
    ["hupwatch status 2>&3 >&3", "exit 4\n"],
    ["hupwatch --nonsense 2>&3", "exit 125\n"],
    ["hupwatch --version >&-", "exit 0\n"],
  ];
  test.each(rows)("%s", async (command, said) => {
    using place = home();
    using dir = tempDir();
    expect(await unheard(command, place, dir.path)).toBe(said);
  });

  test("a full disk is told, and is no stack trace", async () => {
    using place = home();
    expect((await shell("hupwatch --version >/dev/full; echo $?", place, place.path)).stdout).toMatch(
      /^hupwatch: cannot write to stdout: ENOSPC.*\nTo fix: .*\n125\n$/,
    );
  });
});

test("status, reload, a rolled back reload and stop exit by their outcome", async () => {
  using place = home();
  using dir = tempDir();
  const commands = ["sh", "-c", `[ "$HUPWATCH_GENERATION" = 3 ] && exit 7; echo stands; exec sleep 1000`];
  await using hupwatch = await startHupwatch([...START, "--", ...commands], { env: place.env });
  const script = `
    ${NOBODY_READS}
    for words in status 'status --json' reload reload 'reload --json' 'reload --no-wait' 'stop --json'; do
      hupwatch $words >&3 2>&3
      echo "$words $?"
    done`;
  expect((await shell(script, place, dir.path)).stdout.split("\n")).toEqual([
    "status 0",
    "status --json 0",
    "reload 0",
    "reload 1",
    "reload --json 0",
    "reload --no-wait 0",
    "stop --json 0",
    "",
  ]);
  expect(await hupwatch.exited).toBe(0);
});

test("load exits by its verdict", async () => {
  using place = home();
  using dir = tempDir();
  const bind = `127.0.0.1:${await freePort()}`;
  await using _hupwatch = await startHupwatch(["-k", "-b", bind, "--", ...always(`${TINY} ${bind}`)], {
    cwd: dir.path,
  });
  expect(await unheard(`hupwatch load -q --any-body -n 5 http://${bind}/ >&3`, place, dir.path)).toBe(
    "exit 0\n",
  );
});
