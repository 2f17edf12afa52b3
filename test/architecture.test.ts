/** The boundaries of the design, read out of the imports of src: one way, and each library in one place. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOT } from "./setup/places.ts";

interface Import {
  /** Below src, e.g. `swap/machine.ts`. */
  from: string;
  /** A path below src, or a package. */
  to: string;
  typeOnly: boolean;
  /** Loaded when it is needed: `await import(...)`. */
  dynamic?: boolean;
}

const files = readdirSync(`${ROOT}/src`, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .sort();
const text = (file: string) => readFileSync(`${ROOT}/src/${file}`, "utf8");

const STATIC = /^(?:import|export)\s+(type\s)?(?:[^'"]*?\sfrom\s+)?"([^"]+)"/gm;
const DYNAMIC = /\bimport\("([^"]+)"\)/g;

const imports: Import[] = files.flatMap((from) => {
  const resolved = (to: string) => (to.startsWith(".") ? normalize(join(dirname(from), to)) : to);
  return [
    ...[...text(from).matchAll(STATIC)].map(([, type, to = ""]) => ({
      from,
      to: resolved(to),
      typeOnly: type !== undefined,
    })),
    ...[...text(from).matchAll(DYNAMIC)].map(([, to = ""]) => ({
      from,
      to: resolved(to),
      typeOnly: false,
      dynamic: true,
    })),
  ];
});

/** `swap` of `swap/machine.ts`; a file at the top, e.g. `error.ts`, is itself. */
const area = (path: string) => path.split("/")[0] ?? path;
const shown = (found: Import[]) => found.map(({ from, to }) => `${from} -> ${to}`);

test("the imports are read at all", () => {
  expect(files.length).toBeGreaterThan(50);
  expect(imports).toContainEqual({ from: "swap/states.ts", to: "os/spawn.ts", typeOnly: true });
  expect(imports).toContainEqual({
    from: "cli/commands.ts",
    to: "cli/run.ts",
    typeOnly: false,
    dynamic: true,
  });
  for (const { to } of imports) if (to.endsWith(".ts")) expect(files).toContain(to);
});

describe("one place for each library", () => {
  const places: [library: string, allowed: (file: string) => boolean, where: string][] = [
    // A file of it binds the functions of its subject; os/libc.ts and os/libc-*.ts are its doors.
    ["bun:ffi", (file) => file.startsWith("os/libc/"), "os/libc/"],
    ["consola", (file) => file === "log.ts", "log.ts"],
    ["citty", (file) => area(file) === "cli" || file === "main.ts", "cli/ and main.ts"],
    ["@bomb.sh/tab", (file) => file === "cli/complete.ts", "cli/complete.ts"],
  ];
  test.each(places)("%s", (library, allowed, where) => {
    const users = imports.filter(({ to }) => to === library || to.startsWith(`${library}/`));
    expect(users.length).toBeGreaterThan(0);
    expect({ where, others: shown(users.filter(({ from }) => !allowed(from))) }).toEqual({
      where,
      others: [],
    });
  });

  test("process.on and process.once: cli/signals.ts alone; everything else is given what it waits for", () => {
    const users = files.filter((file) => /\bprocess\.(on|once|addListener)\(/.test(text(file)));
    expect(users).toEqual(["cli/signals.ts"]);
  });

  test("stdout: cli/print.ts alone, which knows what to do when nobody reads", () => {
    const users = files.filter((file) => /\bBun(\.std(out|err)\b|\[)|\bstdout\.write\(/.test(text(file)));
    expect(users).toEqual(["cli/print.ts"]);
  });

  test("process.exit: main.ts alone", () => {
    expect(files.filter((file) => /\bprocess\.exit\(/.test(text(file)))).toEqual(["main.ts"]);
  });

  // As root below a HOME of mode 0700, "launcher.sh: exec: .../bun.exe: Permission denied" failed six tests.
  test("another user: harness/another-user.ts alone, which makes a copy that it may reach", () => {
    const others = new Bun.Glob("{test,docker,fixtures}/**/*.{ts,py,sh}").scanSync(ROOT);
    const changes = /\["(setpriv|runuser|su|sudo|chroot)"|\bset(re|res)?uid\(/;
    const users = [...others].filter((file) => changes.test(readFileSync(`${ROOT}/${file}`, "utf8")));
    // The second is started from such a copy.
    expect(users.sort()).toEqual(["fixtures/launchers/refused.py", "test/harness/another-user.ts"]);
  });
});

test("the machine is pure: types are all that it, its rows and its moves import", () => {
  const names = ["death", "flip", "hold", "looks", "machine", "moves", "role", "states"];
  const rows = files.filter((file) => file.startsWith("swap/phases/"));
  const pure = [...names.map((name) => `swap/${name}.ts`), ...rows];
  expect(rows.length).toBeGreaterThan(0);
  const impure = imports.filter(
    ({ from, to, typeOnly }) => pure.includes(from) && !typeOnly && !pure.includes(to),
  );
  expect(shown(impure)).toEqual([]);
  for (const file of pure)
    expect(text(file)).not.toMatch(/\b(Bun|process|Date|performance|console|setTimeout)\./);
});

/** Used everywhere: they say how a value is read or shown or an error is made, and know nothing of hupwatch. */
const LEAVES = ["error.ts", "text.ts", "duration.ts", "values.ts", "version.ts"];

/**
 * What each room uses besides itself and the leaves, from the ground up: a room uses only rooms above it in this list, so that
 * there is no circle, of types neither. It is what is imported, no more and no less; src/README.md shows it.
 */
const USES: Record<string, readonly string[]> = {
  os: [],
  http: [],
  "log.ts": [],
  sockets: ["os"],
  kept: ["os", "http", "sockets"],
  intercept: ["os", "sockets", "kept"],
  ready: ["os", "http", "sockets"],
  servers: ["os", "sockets"],
  plan: ["os", "log.ts", "sockets", "ready", "servers"],
  events: ["os", "log.ts", "sockets", "plan"],
  generation: ["os", "sockets", "ready", "plan", "events"],
  instance: ["os", "log.ts", "sockets", "plan", "events", "generation"],
  swap: ["os", "sockets", "plan", "events", "generation"],
  control: ["os", "http", "sockets", "plan", "events", "generation", "swap"],
  load: ["os", "http", "sockets"],
  verify: ["os", "load"],
  cli: [
    ...["os", "log.ts", "sockets", "ready", "servers", "plan", "events", "generation", "instance", "swap"],
    ...["kept", "intercept", "control", "load", "verify"],
  ],
  "main.ts": ["cli", "intercept", "os"],
};

describe("imports go one way", () => {
  const inside = imports.filter(({ to }) => files.includes(to));

  test("every area has its rule", () => {
    const areas = [...new Set(files.map(area))].filter((name) => !LEAVES.includes(name));
    expect(areas.toSorted()).toEqual(Object.keys(USES).toSorted());
    for (const leaf of LEAVES)
      expect(shown(inside.filter(({ from, to }) => from === leaf && !LEAVES.includes(to)))).toEqual([]);
  });

  test("a room uses only rooms that stand before it", () => {
    const order = Object.keys(USES);
    const upwards = order.flatMap((name) =>
      (USES[name] ?? [])
        .filter((below) => order.indexOf(below) >= order.indexOf(name))
        .map((below) => `${name} -> ${below}`),
    );
    expect(upwards).toEqual([]);
  });

  test.each(Object.entries(USES))("%s: what is imported is what the rule says", (name, uses) => {
    const others = inside.filter(
      ({ from, to }) => area(from) === name && area(to) !== name && !LEAVES.includes(area(to)),
    );
    expect({ forbidden: shown(others.filter(({ to }) => !uses.includes(area(to)))) }).toEqual({
      forbidden: [],
    });
    const used = new Set(others.map(({ to }) => area(to)));
    expect({ unused: uses.filter((room) => !used.has(room)) }).toEqual({ unused: [] });
  });

  test("src/README.md shows the rule, from the top down", () => {
    const width = Math.max(...Object.keys(USES).map((name) => name.length));
    const rows = Object.entries(USES).toReversed();
    const picture = rows.map(([name, uses]) => `    ${name.padEnd(width)} ─▶ ${uses.join(" ") || "nothing"}`);
    expect(readFileSync(`${ROOT}/src/README.md`, "utf8")).toContain(`\n${picture.join("\n")}\n`);
  });

  /** A file that is loaded on demand is called, not built in: completion reads the table of sub-commands that it is part of. */
  test("no two files import each other, types included, by whatever way round", () => {
    const below = (from: string) => inside.filter((i) => i.from === from && !i.dynamic).map(({ to }) => to);
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file))
        throw new Error(`a circle: ${[...path.slice(path.indexOf(file)), file].join(" -> ")}`);
      if (done.has(file)) return;
      for (const to of below(file)) visit(to, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  test("verify and load use hupwatch only as a user would: never swap, servers or cli", () => {
    const outside = imports.filter(({ from }) => area(from) === "verify" || area(from) === "load");
    expect(
      shown(
        outside.filter(({ to }) =>
          ["swap", "generation", "instance", "plan", "servers", "events", "control", "cli"].includes(
            area(to),
          ),
        ),
      ),
    ).toEqual([]);
  });
});

// HUP to the command's exec took 146 ms more than plain at load 30 to 60, most of it what the exec helper loaded.
test("the exec helper, which each intercepted start waits for, loads neither node:fs nor node:path", () => {
  const loaded = new Set(["intercept/entry.ts", "intercept/become-command.ts"]);
  for (const file of loaded)
    for (const { from, to, typeOnly, dynamic } of imports)
      if (from === file && !typeOnly && !dynamic) loaded.add(to);
  expect(loaded).toContain("os/libc/library.ts");
  expect([...loaded].filter((name) => /^(node:)?(fs|path)$/.test(name))).toEqual([]);
});

test("a step of the wall clock changes nothing: where the service is run nobody reads it", () => {
  const running = ["os", "sockets", "ready", "servers", "plan", "generation", "instance", "swap", "kept"];
  const reads = /\bDate\b|\bTemporal\b|CLOCK_REALTIME/;
  expect(files.filter((file) => running.includes(area(file)) && reads.test(text(file)))).toEqual([]);
});

test("packages: those that are built in, each in one version; with hupwatch nothing else is installed", () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8")) as {
    dependencies?: unknown;
    devDependencies: Record<string, string>;
  };
  const used = imports
    .map(({ to }) => to)
    .filter((to) => !existsSync(`${ROOT}/src/${to}`) && !/^(node:|bun(:|$))/.test(to))
    .map((to) => (to.startsWith("@") ? /^[^/]+\/[^/]+/ : /^[^/]+/).exec(to)?.[0] ?? to);
  expect(used).toContain("consola");
  expect(used.filter((name) => !/^\d+\.\d+\.\d+$/.test(devDependencies[name] ?? "none"))).toEqual([]);
  expect(dependencies).toBeUndefined();
});

test("names say what a thing is about: no utils, core, manager, helper", () => {
  const vague = /(^|[/-])(utils?|core|manager|helpers?|common|misc)([/.-]|$)/;
  expect(files.filter((file) => vague.test(file))).toEqual([]);
});

test("the top of the repository has the agreed names and no others", () => {
  const agreed = [
    ".ci",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "biome.json",
    "bun.lock",
    "bunfig.toml",
    "docker",
    "fixtures",
    "package.json",
    "src",
    "test",
    "tsconfig.json",
  ];
  const listed = Bun.spawnSync(["git", "ls-files"], { cwd: ROOT, stderr: "ignore" });
  // An unpacked archive has no git; there is nothing else in it than what git had.
  if (!listed.success) return;
  const names = new Set(
    listed.stdout
      .toString()
      .trim()
      .split("\n")
      .map((path) => path.split("/")[0] ?? path),
  );
  expect([...names].filter((name) => !agreed.includes(name))).toEqual([]);
});

/** "who dies between a fork and a write leaves nobody that ..." had to be read twice: a process, a socket or a server is "it" and "which". */
test("processes are not people: no who, whom or whoever in src", () => {
  const sources = [...files, "launcher.sh"];
  const lines = sources.flatMap((file) =>
    text(file)
      .split("\n")
      .map((line) => `${file}: ${line.trim()}`),
  );
  expect(lines.filter((line) => /\b(who|whom|whoever)\b/i.test(line))).toEqual([]);
});
