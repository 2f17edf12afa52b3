/**
 * The package as the world gets it: packed, its content looked at, published to a registry of its own on this machine,
 * and started from there by bunx and npx in a container that has never seen this repository.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { freePort } from "../../test/harness/free-port.ts";
import { until } from "../../test/harness/until.ts";
import { docker, must, run } from "../rig/command.ts";
import { LABEL } from "../rig/container.ts";
import type { Extra } from "../rig/grid.ts";
import type { HostSettings } from "../rig/host-settings.ts";
import { imageOf } from "../rig/images.ts";
import { CACHE, ROOT } from "../rig/places.ts";
import { tarOf } from "../rig/tar.ts";

/** Pinned: what judges the package must not change by itself. */
export const PUBLINT = "publint@0.3.25";
/** The newest that runs on Node 20. It asks for node-fetch by a tag, which is no pin, and which a mirror may not have. */
const VERDACCIO = { dependencies: { verdaccio: "6.1.6" }, overrides: { "node-fetch": "2.7.0" } };
const NODE = "22.23.3";
const NPM = "npm@10.9.9";

/** Files of the package, as `npm pack --json` lists them. */
export interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  files: { path: string }[];
}

const ALLOWED = [
  /^package\.json$/,
  /^((src\/([a-z]+\/)?|docker\/)?README|CHANGELOG)\.md$/,
  /^fixtures\/(supervisors|fleet)\//,
  /^LICENSE$/,
  /^dist\/js\/(hupwatch|(main|load|exec|keep|relay|take|try)\.cjs(\.jsc)?|demo\.js|LICENSES\.txt)$/,
  /^fixtures\/apps\/(http\.ts|tiny\.ts|wsgi\.py)$/,
];
const NEEDED = [
  "package.json",
  "README.md",
  "LICENSE",
  "dist/js/hupwatch",
  "dist/js/main.cjs",
  ...["load", "exec", "keep", "relay", "take", "try"].map((name) => `dist/js/${name}.cjs`),
  "dist/js/demo.js",
  "dist/js/LICENSES.txt",
];

/** What is in the package and should not be, or the other way round. */
export function contentFaults(packed: Packed): string[] {
  const paths = packed.files.map(({ path }) => path);
  const strange = paths.filter((path) => !ALLOWED.some((rule) => rule.test(path)));
  const missing = NEEDED.filter((path) => !paths.includes(path));
  return [
    ...strange.map((path) => `${path} is in the package`),
    ...missing.map((path) => `${path} is not in the package`),
  ];
}

/** Each step by itself; the later ones need the earlier ones. */
export async function tryPackage(base: string, settings: HostSettings): Promise<Extra[]> {
  const extras: Extra[] = [];
  const temp = mkdtempSync(`${tmpdir()}/hupwatch-rig-`);
  try {
    extras.push(await attempt("npm pack", () => pack(temp)));
    extras.push(await attempt("publint", () => lint(temp)));
    await using registry = await startRegistry(temp, settings);
    extras.push(await attempt("npm publish", () => publish(temp, registry.url)));
    await buildRunners(base);
    for (const runner of RUNNERS)
      extras.push(await attempt(runner.name, () => runPublished(runner, registry.url)));
  } catch (error) {
    extras.push({ name: "the package, published and run", outcome: { kind: "red", faults: [text(error)] } });
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
  return extras;
}

const text = (error: unknown) => (error instanceof Error ? error.message : String(error));

async function attempt(name: string, step: () => Promise<string>): Promise<Extra> {
  try {
    return { name, outcome: { kind: "green", said: await step() } };
  } catch (error) {
    return { name, outcome: { kind: "red", faults: [text(error)] } };
  }
}

async function pack(temp: string): Promise<string> {
  const listed = await must(["npm", "pack", "--json", "--pack-destination", temp], { cwd: ROOT });
  const [packed] = JSON.parse(listed) as [Packed];
  const faults = contentFaults(packed);
  if (faults.length > 0) throw new Error(faults.join("; "));
  const kb = (bytes: number) => `${(bytes / 1000).toFixed(0)} kB`;
  return `${packed.files.length} files, ${kb(packed.size)} packed, ${kb(packed.unpackedSize)} unpacked`;
}

function tarballIn(temp: string): string {
  const tarball = readdirSync(temp).find((name) => name.endsWith(".tgz"));
  if (!tarball) throw new Error("nothing was packed");
  return `${temp}/${tarball}`;
}

/** As it was packed and no more: in the clone there are further files, and others are missing. */
async function lint(temp: string): Promise<string> {
  await must(["tar", "-xzf", tarballIn(temp), "-C", temp]);
  const words = ["npx", "--yes", PUBLINT, "--strict", "--pack", "false", `${temp}/package`];
  const said = await must(words, { cwd: temp, timeoutMs: 180_000 });
  if (!said.includes("All good!")) throw new Error(said.trim());
  return "all good";
}

interface Registry extends AsyncDisposable {
  url: string;
}

/** Has hupwatch from us alone and passes on what others ask for. */
async function startRegistry(temp: string, settings: HostSettings): Promise<Registry> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const upstream = settings.env.NPM_CONFIG_REGISTRY ?? "https://registry.npmjs.org/";
  const config = `storage: ${temp}/storage
uplinks: { npm: { url: "${upstream}" } }
packages:
  hupwatch: { access: $all, publish: $all, unpublish: $all }
  "**": { access: $all, proxy: npm }
log: { type: stdout, format: pretty, level: warn }
`;
  await Bun.write(`${temp}/verdaccio.yaml`, config);
  // Installed first: a start that also downloads could not be told from one that hangs.
  await Bun.write(`${CACHE}/verdaccio/package.json`, JSON.stringify({ private: true, ...VERDACCIO }));
  await must(["npm", "install", "--no-audit", "--no-fund"], {
    cwd: `${CACHE}/verdaccio`,
    timeoutMs: 300_000,
  });
  const words = [`${CACHE}/verdaccio/node_modules/.bin/verdaccio`, "--config", `${temp}/verdaccio.yaml`];
  const server = Bun.spawn([...words, "--listen", `127.0.0.1:${port}`], {
    stdio: ["ignore", Bun.file(`${CACHE}/verdaccio.log`), Bun.file(`${CACHE}/verdaccio.log`)],
  });
  const registry = {
    url,
    async [Symbol.asyncDispose]() {
      server.kill();
      await server.exited;
    },
  };
  const answers = () =>
    fetch(`${url}/-/ping`).then(
      ({ ok }) => ok,
      () => false,
    );
  try {
    await until(async () => server.exitCode !== null || (await answers()), {
      what: "verdaccio",
      timeoutMs: 60_000,
      everyMs: 200,
    });
    if (server.exitCode !== null) throw new Error("verdaccio ended; see .cache/rig/verdaccio.log");
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    throw error;
  }
  return registry;
}

async function publish(temp: string, url: string): Promise<string> {
  // npm wants to be logged in; the registry does not ask who it is.
  const token = `--//${new URL(url).host}/:_authToken=anybody`;
  await must(["npm", "publish", "--registry", url, token, tarballIn(temp)], { timeoutMs: 120_000 });
  const version = await must(["npm", "view", "--registry", url, "hupwatch", "version"]);
  return `hupwatch ${version.trim()} is in a registry of its own`;
}

const ARCH = process.arch === "arm64" ? { node: "arm64", bun: "aarch64" } : { node: "x64", bun: "x64" };

/** Node, npm and Bun on the bare base image, as one installs them; not the distribution's npm with its 400 packages. */
async function buildRunners(base: string): Promise<void> {
  const programs = {
    node: `node-linux-${ARCH.node}@${NODE}`,
    npm: NPM,
    bun: `@oven/bun-linux-${ARCH.bun}@${Bun.version}`,
  };
  const files: Record<string, string | Blob> = {
    "tiny.ts": Bun.file(`${ROOT}/fixtures/apps/tiny.ts`),
    "http.ts": Bun.file(`${ROOT}/fixtures/apps/http.ts`),
    Dockerfile: `FROM ${base}
COPY *.tgz /opt/
RUN cd /opt && for p in node npm bun; do mkdir $p && tar -xzf $p.tgz -C $p --strip-components=1; done && rm *.tgz \\
 && ln -s /opt/node/bin/node /opt/bun/bin/bun /usr/local/bin/ && ln -s bun /usr/local/bin/bunx \\
 && ln -s /opt/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s /opt/npm/bin/npx-cli.js /usr/local/bin/npx \\
 && chmod +x /opt/*/bin/*
COPY *.ts /site/
WORKDIR /srv/app
`,
  };
  for (const [name, spec] of Object.entries(programs)) {
    const folder = `${CACHE}/packages/${spec.replaceAll("/", "-")}`;
    mkdirSync(folder, { recursive: true });
    if (readdirSync(folder).length === 0)
      await must(["npm", "pack", "--silent", "--pack-destination", folder, spec], { timeoutMs: 300_000 });
    files[`${name}.tgz`] = Bun.file(`${folder}/${readdirSync(folder)[0]}`);
  }
  const words = ["build", "--network=host", "--tag", imageOf("runners"), "-"];
  await docker(words, { input: await tarOf(files), timeoutMs: 300_000 });
}

interface Runner {
  name: string;
  words: string[];
  /** Whether a HUP to the runner reaches hupwatch; else it goes to hupwatch's own pid. */
  passesHup: boolean;
}

const RUNNERS: readonly Runner[] = [
  { name: "bunx hupwatch", words: ["bunx", "hupwatch"], passesHup: true },
  { name: "npx hupwatch", words: ["npx", "--yes", "hupwatch"], passesHup: false },
];

/** Started by the runner in a clean container, loaded from another one, swapped once. */
async function runPublished({ name, words, passesHup }: Runner, url: string): Promise<string> {
  const id = `hupwatch-rig-${crypto.randomUUID().slice(0, 8)}`;
  const volume = ["--label", LABEL, "--volume", `${id}:/srv/app`];
  // The registry listens on this machine's loopback; both spellings, for npm reads one and bun the other.
  const registry = ["NPM_CONFIG_REGISTRY", "npm_config_registry"].flatMap((n) => ["--env", `${n}=${url}`]);
  const socket = "unix:/srv/app/app.sock";
  const command = [...words, "--bind", socket, "--", "bun", "/site/tiny.ts"];
  const log = async () => {
    const { stdout, stderr } = await run(["docker", "logs", id]);
    return `${stdout}${stderr}`;
  };
  const says = (line: RegExp) =>
    until(async () => line.exec(await log()), {
      what: `${line} of ${name}`,
      timeoutMs: 90_000,
      everyMs: 300,
    });
  try {
    const start = ["run", "--detach", "--name", id, "--network", "host", ...registry, ...volume];
    await docker([...start, imageOf("runners"), ...command], { timeoutMs: 60_000 });
    const [, pid = ""] = await says(/hupwatch\[(\d+)\] .*generation 1 serves/);
    const load = [
      "load",
      "--json",
      "--quiet",
      "--mode",
      "fresh",
      "--rate",
      "150",
      "--duration",
      "8s",
      socket,
    ];
    const loading = run(
      [
        "docker",
        "run",
        "--rm",
        ...volume,
        "--entrypoint",
        "hupwatch",
        "--user",
        "0",
        imageOf("hupwatch"),
        ...load,
      ],
      { timeoutMs: 120_000 },
    );
    await Bun.sleep(3000);
    if (passesHup) await docker(["kill", "--signal", "HUP", id]);
    else await docker(["exec", id, "sh", "-c", `kill -HUP ${pid}`]);
    await says(/generation 1 gone/);
    const { code, stdout, stderr } = await loading;
    if (code !== 0) throw new Error(`the load failed, code ${code}: ${stderr}${stdout.slice(0, 2000)}`);
    const { started, versions } = JSON.parse(stdout) as { started: number; versions: unknown[] };
    if (versions.length !== 2) throw new Error(`${versions.length} versions answered, not 2`);
    const how = passesHup ? "HUP to the runner" : "HUP to hupwatch's pid";
    return `from the registry, ${how}, ${started} requests, 1 swap, 0 dropped`;
  } catch (error) {
    throw new Error(`${text(error)}\n${(await log()).slice(-3000)}`);
  } finally {
    await run(["docker", "rm", "--force", id]);
    await run(["docker", "volume", "rm", "--force", id]);
  }
}
