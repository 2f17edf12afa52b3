/** The command's variables and words are those that hupwatch was given, byte for byte, by whatever way it is started. */
import { expect, test } from "bun:test";
import { hasPeople } from "../attack/people.ts";
import { home } from "../harness/cli.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { PYTHON } from "../setup/places.ts";

/** A caller that gives bytes: the runtime of the tests can give none. Says what the command saw, one JSON line each. */
const CALLER = `
import json, os, sys
hupwatch, python, *options = sys.argv[1:]
tell = "import os, sys, json; print(json.dumps([sorted([k.decode('latin1'), v.decode('latin1')] for k, v in os.environb.items()), [os.fsencode(w).decode('latin1') for w in sys.argv[1:]]]))"
words = [b"caf\\xe9 \\\\n", "\\u00fc\\U0001f600".encode(), b"\\xff\\n7", b"", b"'\\"$x\`", b"\\xed\\xa0\\x80\\n"]
env = {
    **{k: os.environb[k] for k in (b"PATH", b"HUPWATCH_BUN", b"XDG_RUNTIME_DIR")},
    # contribsys: Spring Boot, docker run -e, bash's export -f.
    b"spring.profile": b"prod", b"WITH-DASH": b"1", b"BASH_FUNC_x%%": b"() {  echo hi\\n}", b"1a": b"",
    b"LATIN": b"caf\\xe9", b"LATIN.1": b"\\xff\\\\0101", b"SURROGATE": b"\\xed\\xb3\\xa9", b"GOOD": "\\u00e9\\u65e5".encode(), b"END": b"\\xe9\\n",
    # What the launcher calls its own, and what a shell does.
    **{name.encode(): b"the user's" for name in "key value self link here entry main bun installed hup odd name words".split()},
    b"PS1": b"a", b"LINENO": b"3", b"CDPATH": b"/nowhere", b"OLDPWD": b"/x", b"PWD": b"/", b"_": b"y",
}
os.chdir("/")
def run(argv):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(w, 1); os.close(r); os.close(w)
        os.execve(argv[0], argv, env)
    os.close(w)
    text = os.fdopen(r).read()
    os.waitpid(pid, 0)
    return text
command = [python, "-c", tell, *words]
sys.stdout.write(run(command))
sys.stdout.write(run([hupwatch, "-q", "--no-control", "--handover", "none", *options, "--", *command]))
`;

type Seen = [environment: [name: string, value: string][], words: string[]];

const WAYS: [string, string[]][] = [
  ["directly", []],
  ["by way of the shell", ["--umask", "022", "-k"]],
  ["intercepted", ["--handover", "intercept", "--ready", "delay:0"]],
  ["as another user", ["--user", "nobody", "--umask", "022"]],
  ["as another user, intercepted", ["--user", "nobody", "--handover", "intercept", "--ready", "delay:0"]],
];

// https://github.com/systemd/systemd/issues/3729, https://github.com/oblien/openship/issues/121: four of these were lost, and
// what the launcher had a variable of the same name for was changed.
test.each(WAYS.filter(([name]) => hasPeople || !name.includes("user")))("%s", (_, options) => {
  const words = [PYTHON, "-c", CALLER, LAUNCHER, PYTHON, ...options];
  using place = home();
  const env = { ...process.env, ...place.env };
  const { stdout, stderr } = Bun.spawnSync(words, { env, stdin: "ignore" });
  const [plain, below] = stdout
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Seen);
  expect(stderr.toString()).toBe("");
  if (!plain || !below) throw new Error(`it said: ${stdout}`);
  // What --user sets, and takes away, is the user's.
  const isTheirs = ([name]: readonly [string, string]) =>
    !/^(HUPWATCH_.*|XDG_RUNTIME_DIR|HOME|USER|LOGNAME|SHELL)$/.test(name);
  expect(below[0].filter(isTheirs)).toEqual(plain[0].filter(isTheirs));
  expect(below[1]).toEqual(plain[1]);
});
