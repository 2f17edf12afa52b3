import { expect, test } from "bun:test";
import { constants } from "node:os";
import { README, withParts } from "./readme.ts";
import { NEEDED_PACKAGES } from "./setup/programs.ts";

const text = await Bun.file(README).text();

test("the tables of options are what the code has (bun test/readme.ts writes them)", () => {
  expect(text).toBe(withParts(text));
});

test("the signals of the table are the ones that are listened to", async () => {
  const source = await Bun.file(`${import.meta.dir}/../src/cli/signals.ts`).text();
  const section = text.slice(text.indexOf("### Signals"), text.indexOf("### Exit codes"));
  const listed = [...section.matchAll(/\b(HUP|TERM|INT|QUIT|USR1|USR2|WINCH|TTIN|TTOU)\b/g)].map(
    (m) => `SIG${m[1]}`,
  );
  const handled = [...source.matchAll(/"(SIG[A-Z0-9]+)"/g)]
    .map((m) => m[1] as string)
    .filter((s) => s !== "SIGCHLD");
  expect(new Set(listed)).toEqual(new Set(handled));
  for (const signal of handled) expect(Object.keys(constants.signals)).toContain(signal);
});

test("the two commands of the first screen are scripts of the package", async () => {
  const { scripts } = await Bun.file(`${import.meta.dir}/../package.json`).json();
  const named = [...text.matchAll(/npx --yes bun@1\.4 run (\w+)/g)].map((m) => m[1]);
  expect(named).toEqual(["demo", "test"]);
  for (const name of named) expect(scripts).toHaveProperty(name as string);
});

test("what the tests need where they may not install it is what they ask for", () => {
  expect(text).toContain(`\`apt-get install ${NEEDED_PACKAGES.join(" ")}\``);
});

test("every invariant is promised here and carried by a test's name", async () => {
  const promised = [...text.matchAll(/- \*\*(I\d)\*\*/g)].map((m) => m[1] as string);
  expect(promised).toEqual(["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8"]);
  const names: string[] = [];
  for await (const file of new Bun.Glob("**/*.test.ts").scan(import.meta.dir))
    names.push(await Bun.file(`${import.meta.dir}/${file}`).text());
  for (const invariant of promised)
    expect(names.some((n) => new RegExp(`["\`]${invariant}\\b`).test(n))).toBe(true);
});
