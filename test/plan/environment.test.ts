/** The environment of a generation: the caller's, less what was meant for hupwatch, then the env file as it is now. */
import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { type LineWarning, parse, parseEnvFile, readEnvFile } from "../../src/plan/env-file.ts";
import { commandEnvironment, generationEnvironment } from "../../src/plan/environment.ts";
import { PLAN } from "../fake-os/stage.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";

test("what was meant for hupwatch does not reach the command, everything else does", () => {
  const own = {
    NOTIFY_SOCKET: "/run/systemd/notify",
    WATCHDOG_USEC: "1",
    WATCHDOG_PID: "1",
    LISTEN_FDS: "2",
    LISTEN_PID: "1",
    LISTEN_FDNAMES: "a:b",
    LISTEN_PIDFDID: "1",
    HUPWATCH_GENERATION: "7",
    HUPWATCH_BUN: "/usr/bin/bun",
  };
  const theirs = { PATH: "/bin", LISTEN: "x", MY_NOTIFY_SOCKET: "y", EMPTY: "" };
  expect(commandEnvironment({ ...own, ...theirs, GONE: undefined })).toEqual(theirs);
});

test("each generation knows its number, its name, hupwatch's pid and the release that it was started in", () => {
  using dir = tempDir();
  mkdirSync(`${dir.path}/release`);
  symlinkSync("release", `${dir.path}/current`);
  const plan = {
    ...PLAN,
    name: "web",
    directory: `${dir.path}/current`,
    environment: { A: "1", PWD: "/elsewhere" },
  };
  expect(generationEnvironment(plan, 3, 42)).toEqual({
    A: "1",
    PWD: `${dir.path}/release`,
    HUPWATCH_GENERATION: "3",
    HUPWATCH_NAME: "web",
    HUPWATCH_PID: "42",
  });
});

test("the env file is read anew each time, beats the caller's and cannot pretend to be hupwatch", () => {
  using dir = tempDir();
  const envFile = `${dir.path}/env`;
  const plan = { ...PLAN, environment: { A: "caller", B: "caller" }, envFile };
  writeFileSync(envFile, 'A=one\n# a comment\nexport QUOTED="two words"\nHUPWATCH_PID=1\n');
  expect(generationEnvironment(plan, 1, 42)).toMatchObject({
    A: "one",
    B: "caller",
    QUOTED: "two words",
    HUPWATCH_PID: "42",
  });
  writeFileSync(envFile, "A=two\n");
  expect(generationEnvironment(plan, 2, 42)).toMatchObject({ A: "two" });
});

test("an env file whose value no process can be given is named, with the variable", () => {
  using dir = tempDir();
  const envFile = `${dir.path}/env`;
  writeFileSync(envFile, "A=1\nKEY=a\0b\n");
  const error = thrownBy(() => generationEnvironment({ ...PLAN, envFile }, 1, 42));
  expect(error.exitCode).toBe(125);
  expect(error.message).toBe(`--env-file ${envFile}: KEY has a NUL byte`);
});

test("an env file is a regular file or leads to one: /dev/zero never ends, and a pipe is read once", () => {
  using dir = tempDir();
  const [pipe, link, file] = ["pipe", "link", "file"].map((name) => `${dir.path}/${name}`) as [
    string,
    string,
    string,
  ];
  Bun.spawnSync(["mkfifo", pipe]);
  for (const envFile of ["/dev/zero", pipe, dir.path]) {
    const error = thrownBy(() => generationEnvironment({ ...PLAN, envFile }, 1, 42));
    expect(error.exitCode).toBe(125);
    expect(error.message).toBe(`--env-file ${envFile} is not a regular file`);
  }
  writeFileSync(file, "A=1\n");
  symlinkSync("file", link);
  expect(generationEnvironment({ ...PLAN, envFile: link }, 1, 42)).toMatchObject({ A: "1" });
});

test("the lines of an env file that say nothing are found, and those within quotes are none", () => {
  using dir = tempDir();
  const path = `${dir.path}/env`;
  const lines = [
    "# a comment",
    "",
    "A=1",
    "bad line", // 4
    "A B=1", // 5
    "export C='two words' # fine",
    'KEY="-----BEGIN',
    "bad line",
    'END-----"',
    "export D", // 10
    `E='"'`,
    "=3", // 12
    'F="never closed?',
    "G: 7",
    "  H = 8\r",
  ];
  writeFileSync(path, lines.join("\n"));
  const skipped = parseEnvFile(path, {}).warnings.filter(({ warning }) => warning === "skipped");
  expect(skipped.map(({ line }) => line)).toEqual([4, 5, 10, 12]);
  expect(readEnvFile(path, {})).toMatchObject({
    A: "1",
    KEY: "-----BEGIN\nbad line\nEND-----",
    E: '"',
    G: "7",
    H: "8",
  });
});

// systemd.exec(5), EnvironmentFile=; https://github.com/theskumar/python-dotenv; docker run --env-file; a password that was cut at #
test.each<[line: string, value: string, ...warnings: LineWarning[]]>([
  ["A=p#ss", "p#ss"],
  ["A=#ff0000", "#ff0000"],
  ["A=a b#c", "a b#c"],
  ["A=a # b", "a", "comment"],
  ["A= # nothing", "", "comment"],
  ['A="a # b"', "a # b"],
  ['A="a b"  # comment', "a b", "comment"],
  ["A=x\\p=@us$0!", "x\\p=@us$0!", "backslash"],
  ["A=one \\", "one \\", "backslash"],
  ['A="{\\"k\\": 1}"', '{"k": 1}'],
  ['A={"k": "v"}', '{"k": "v"}'],
  ['A="C:\\\\new"', "C:\\new"],
  ['A="a\\nb"', "a\nb", "escape"],
  ['A="a\\$b"', "a$b", "escaped dollar"],
  ['A="a\\qb"', "a\\qb"],
  ["A='a\\nb $x # \"'", 'a\\nb $x # "'],
  ["A='C:\\'", "C:\\", "backslash"],
  ["A=`x`", "`x`"],
  ['A=a"b', 'a"b'],
  ['A="unclosed', '"unclosed', "open"],
  ['A="a"b', "ab", "behind"],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's
  ["A=x ${HOME}", "x ${HOME}", "dollar"],
  ["A=x $HOME", "x $HOME"],
  ["export A = 8 \t", "8"],
  ["A: 7", "7", "colon"],
  ["A=", ""],
  ["\uFEFFA=bom", "bom"],
])("a line of an env file: %j", (line, value, ...warnings) => {
  const read = parse(`${line}\nB=next\n`);
  expect(read.variables).toEqual({ A: value, B: "next" });
  expect(read.warnings).toEqual(warnings.map((warning) => ({ line: 1, warning })));
});

test("a value that is no UTF-8 is refused: it would be changed in silence", () => {
  using dir = tempDir();
  const path = `${dir.path}/env`;
  writeFileSync(path, Buffer.from("A=ä\nB=\xe4\n", "latin1"));
  expect(thrownBy(() => readEnvFile(path, {})).message).toBe(`--env-file ${path}: line 1 is not UTF-8`);
});

test("an env file that is not there is named", () => {
  const error = thrownBy(() => generationEnvironment({ ...PLAN, envFile: "/no/such/env" }, 1, 42));
  expect(error.message).toContain("--env-file /no/such/env");
  expect(error.hint).toContain("every generation");
});
