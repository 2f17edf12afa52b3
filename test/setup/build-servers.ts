/**
 * The servers that no package has ready: Deno comes as a package of its binary, the fixture apps in Go and Rust and the newest
 * Caddy are compiled. Where a compiler is missing and cannot be had, the suite names its server and leaves it out.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { BUILT, CACHE, go, ROOT } from "./places.ts";

interface Build {
  name: string;
  /** Without it there is nothing to be done. */
  tool(): string | undefined;
  command: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** What has to stand where it is built, besides. */
  prepare?(): void;
  /** It is the newest there is: once made, it is kept until the cache is thrown away. */
  kept?: string;
  /** Two minutes on two cores: for the table, not for every first test run. */
  tableOnly?: boolean;
  timeLimitMs?: number;
}

const RUST = `${CACHE}/rust`;
const NEXT = `${CACHE}/next`;
const MAVEN = `${CACHE}/maven`;
const TIME_LIMIT_MS = 400_000;

const BUILDS: readonly Build[] = [
  {
    name: "Deno",
    tool: () => process.execPath,
    command: ["add", "--cwd", `${CACHE}/deno`, "--ignore-scripts", "deno"],
    // Without a package.json of its own it would be added to the project's.
    prepare() {
      mkdirSync(`${CACHE}/deno`, { recursive: true });
      writeFileSync(`${CACHE}/deno/package.json`, '{ "private": true }\n');
    },
    kept: BUILT.deno,
  },
  {
    name: "frameworks of Node",
    tool: () => Bun.which("npm") ?? undefined,
    command: [
      "install",
      "--silent",
      "--no-audit",
      "--no-fund",
      "--ignore-scripts",
      "--prefix",
      `${CACHE}/npm`,
      "express",
      "fastify",
    ],
    prepare() {
      mkdirSync(`${CACHE}/npm`, { recursive: true });
      writeFileSync(`${CACHE}/npm/package.json`, '{ "private": true }\n');
    },
    kept: `${CACHE}/npm/node_modules/fastify`,
    tableOnly: true,
  },
  {
    name: "the Next.js fixture",
    tool: () => Bun.which("npm") ?? undefined,
    command: ["run", "--silent", "--prefix", NEXT, "make"],
    env: { NEXT_TELEMETRY_DISABLED: "1" },
    prepare: () => cpSync(`${ROOT}/fixtures/apps/next`, NEXT, { recursive: true }),
    kept: `${NEXT}/.next/BUILD_ID`,
    tableOnly: true,
  },
  {
    name: "Jetty and Netty",
    tool: () => Bun.which("mvn") ?? undefined,
    command: ["--quiet", "--batch-mode", "--file", `${MAVEN}/pom.xml`, "process-classes"],
    prepare: () => copyChanged(`${ROOT}/fixtures/apps/maven`, MAVEN),
    tableOnly: true,
  },
  {
    name: "the Go fixture",
    tool: go,
    command: ["build", "-C", `${ROOT}/fixtures/apps/go`, "-trimpath", "-o", BUILT.go, "."],
    env: { CGO_ENABLED: "0" },
  },
  {
    name: "the client in Go",
    tool: go,
    command: ["build", "-C", `${ROOT}/fixtures/clients/go`, "-trimpath", "-o", BUILT.goClient, "."],
    env: { CGO_ENABLED: "0" },
  },
  {
    name: "the Rust fixture",
    tool: () => Bun.which("cargo") ?? undefined,
    command: ["build", "--quiet", "--release", "--manifest-path", `${RUST}/Cargo.toml`],
    env: { CARGO_TARGET_DIR: `${RUST}/target` },
    // Its lock file comes to stand beside it.
    prepare: () => copyChanged(`${ROOT}/fixtures/apps/rust`, RUST),
  },
  {
    name: "the newest Caddy",
    tool: go,
    command: ["install", "-ldflags=-s -w", "github.com/caddyserver/caddy/v2/cmd/caddy@latest"],
    env: { GOBIN: `${CACHE}/caddy`, CGO_ENABLED: "0" },
    kept: BUILT.caddy,
    tableOnly: true,
  },
];

/** For the long run of clients alone (`bun test/setup/oha.ts`): it takes many minutes to compile. Without TLS it does not (1.16). */
const OHA: Build = {
  name: "oha",
  tool: () => Bun.which("cargo") ?? undefined,
  command: [
    "install",
    "--quiet",
    "--locked",
    "--no-default-features",
    "--features",
    "native-tls",
    "--root",
    dirname(dirname(BUILT.oha)),
    "oha",
  ],
  env: { CARGO_TARGET_DIR: `${CACHE}/oha/target` },
  kept: BUILT.oha,
  timeLimitMs: 1_800_000,
};

/** cargo looks at times alone: a changed file is new from now on, whenever it was checked out, and one that is the same is left alone. */
export function copyChanged(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    const [source, copy] = [readFileSync(`${from}/${name}`), `${to}/${name}`];
    if (!existsSync(copy) || !source.equals(readFileSync(copy))) writeFileSync(copy, source);
  }
}

/** All at a time: one downloads while another compiles. Compilers know by themselves what is up to date. */
export async function buildServers({ forTable }: { forTable: boolean }): Promise<void> {
  const wanted = BUILDS.filter(
    ({ tableOnly, kept }) => (forTable || !tableOnly) && !(kept && existsSync(kept)),
  );
  await Promise.all(wanted.map(make));
}

export async function buildOha(): Promise<void> {
  if (!existsSync(BUILT.oha)) await make(OHA);
}

async function make({
  name,
  tool,
  command,
  env,
  prepare,
  timeLimitMs = TIME_LIMIT_MS,
}: Build): Promise<void> {
  const program = tool();
  if (program === undefined) {
    console.log(`setup: no compiler here; ${name} is left out`);
    return;
  }
  prepare?.();
  console.log(`setup: ${name}`);
  const building = Bun.spawn([program, ...command], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "inherit"],
    timeout: timeLimitMs,
  });
  if ((await building.exited) !== 0) console.log(`setup: that did not work; ${name} is left out`);
}
