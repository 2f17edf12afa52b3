import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join, normalize } from "node:path";
import { ELSEWHERE, RIVALS } from "./bench/rivals/contenders.ts";
import { COMMAND_LINE, README, SERVERS_README, VERIFY_README, withAdapters, withParts } from "./readme.ts";
import { ROOT } from "./setup/places.ts";
import { NEEDED_PACKAGES } from "./setup/programs.ts";

const text = await Bun.file(README).text();
const commandLine = await Bun.file(COMMAND_LINE).text();

test("the first document is read in a few minutes", () => {
  expect(text.split("\n").length).toBeLessThanOrEqual(150);
});

test("the tables of options are what the code has (bun test/readme.ts writes them)", () => {
  expect(commandLine).toBe(withParts(commandLine));
});

test("the table of servers is what the adapters say of themselves", async () => {
  const servers = await Bun.file(SERVERS_README).text();
  expect(servers).toBe(withAdapters(servers));
});

test("the signals of the table are the ones that are listened to", async () => {
  const source = await Bun.file(`${import.meta.dir}/../src/cli/signals.ts`).text();
  const section = commandLine.slice(commandLine.indexOf("## Signals"), commandLine.indexOf("## Exit codes"));
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
  expect(promised).toEqual(["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9"]);
  const names: string[] = [];
  for await (const file of new Bun.Glob("**/*.test.ts").scan(import.meta.dir))
    names.push(await Bun.file(`${import.meta.dir}/${file}`).text());
  for (const invariant of promised)
    expect(names.some((n) => new RegExp(`["\`]${invariant}\\b`).test(n))).toBe(true);
});

describe("the rivals' table (bun run bench:rivals)", () => {
  const table = readFileSync(VERIFY_README, "utf8").split("<!-- rivals -->")[1] ?? "";

  test("has each of them, or names it as missing", () => {
    const lacking = RIVALS.filter(({ name }) => !table.includes(name)).map(({ name }) => name);
    expect(lacking).toEqual([]);
    for (const { name } of ELSEWHERE) expect(table).toContain(name);
  });

  test("is where the figures come from that the first document quotes", () => {
    const quoted = /`bun run bench:rivals`\)(.*?)\n\n/s.exec(text)?.[1] ?? "";
    const figures = quoted.match(/[\d,]+ of [\d,]*\d/g) ?? [];
    expect(figures.length).toBeGreaterThan(2);
    expect(figures.filter((figure) => !table.includes(figure))).toEqual([]);
  });
});

/** As npm takes it: `files` of package.json, and what is always taken. */
function isPackaged(path: string): boolean {
  const { files } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8")) as { files: string[] };
  const always = ["README.md", "LICENSE", "package.json"];
  return [...always, ...files].some(
    (name) => path === name || path.startsWith(`${name}/`) || new Bun.Glob(name).match(path),
  );
}

test("the documents travel together: each link leads to a file that is there, also in the package", async () => {
  const documents = ["README.md", "{src,docker,fixtures}/**/README.md"].flatMap((pattern) => [
    ...new Bun.Glob(pattern).scanSync(ROOT),
  ]);
  expect(documents).toContain("src/cli/README.md");
  const lost = documents.filter(isPackaged).flatMap((path) =>
    [...readFileSync(`${ROOT}/${path}`, "utf8").matchAll(/\]\(([^)#]+)(#[^)]*)?\)/g)]
      .map(([, link = ""]) => link)
      .filter((link) => !/^[a-z]+:/.test(link))
      .map((link) => normalize(join(dirname(path), link)))
      .filter((target) => !existsSync(`${ROOT}/${target}`) || !isPackaged(withReadme(target)))
      .map((target) => `${path} -> ${target}`),
  );
  expect(lost).toEqual([]);
});

/** A link to a folder shows its README. */
const withReadme = (target: string) =>
  existsSync(`${ROOT}/${target}/README.md`) ? join(target, "README.md") : target;
