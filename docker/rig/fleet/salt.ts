/**
 * Salt with the files of fixtures/fleet: a real master in the middle, a real minion on each host, and hupwatch with gunicorn
 * below a real runit, as the state says.
 */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { PYTHON } from "../../../test/setup/places.ts";
import { type Done, must, run } from "../command.ts";
import { CACHE, ROOT } from "../places.ts";
import type { Deploy, Deployer, EngineOf, Site } from "./engine.ts";
import type { Namespace } from "./network.ts";

const MASTER = "10.0.0.1";
const VENV = `${CACHE}/salt`;
const VERSION = "3008.4";
const INSTALL_LIMIT_MS = 600_000;
const TIME_LIMIT_MS = 600_000;

/** Of PyPI, once. Throws where it cannot be had. */
export async function installSalt(say: (line: string) => void): Promise<void> {
  if (existsSync(`${VENV}/bin/salt-master`)) return;
  say(`installs Salt ${VERSION} of PyPI, some minutes, once`);
  await must([PYTHON, "-m", "venv", VENV]);
  const install = [
    `${VENV}/bin/python`,
    "-m",
    "pip",
    "install",
    "--quiet",
    "--prefer-binary",
    `salt==${VERSION}`,
  ];
  await must(install, { timeoutMs: INSTALL_LIMIT_MS });
}

export const salt: EngineOf = async ({ middle, place, hosts }) => ({
  equip,
  begin: () => begin(middle, place, hosts),
});

/** runsvdir looks for new services every five seconds: the state brings one. */
function equip({ number, files }: Site): string {
  const conf = `${files}/minion`;
  mkdirSync(`${files}/service/minion`, { recursive: true });
  mkdirSync(conf);
  const words = {
    master: MASTER,
    id: `host${number}`,
    root_dir: "/run/salt",
    log_level: "warning",
    acceptance_wait_time: 1,
  };
  writeFileSync(`${conf}/minion`, yaml({ ...words, log_file: "/srv/minion.log" }));
  const start = `#!/bin/sh\nexec ${VENV}/bin/salt-minion -c /srv/minion\n`;
  writeFileSync(`${files}/service/minion/run`, start, { mode: 0o755 });
  return [
    `mkdir -p /run/salt; mount --bind ${files}/service /etc/service`,
    "exec tini -- runsvdir -P /etc/service",
  ].join("; ");
}

const yaml = (values: object): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
    .join("");

async function begin(middle: Namespace, place: string, hosts: number): Promise<Deployer> {
  const conf = `${place}/master`;
  mkdirSync(`${conf}/roots`, { recursive: true });
  symlinkSync(`${ROOT}/fixtures/fleet`, `${conf}/roots/fleet`);
  symlinkSync(`${place}/releases`, `${conf}/roots/releases`);
  writeFileSync(
    `${conf}/master`,
    yaml({
      ...{
        interface: MASTER,
        root_dir: conf,
        auto_accept: true,
        worker_threads: 3,
        timeout: 60,
        log_level: "warning",
      },
      ...{ file_roots: { base: [`${conf}/roots`] }, fileserver_followsymlinks: true },
    }),
  );
  const log = Bun.file(`${place}/master.log`);
  const master = middle.within([`${VENV}/bin/salt-master`, "-c", conf]);
  Bun.spawn(master, { stdio: ["ignore", log, log] });
  const inMiddle = (program: string, ...words: string[]) =>
    run(middle.within([`${VENV}/bin/${program}`, "-c", conf, ...words]), { timeoutMs: TIME_LIMIT_MS });
  await untilUp(inMiddle, hosts);
  const applied = await inMiddle("salt", "*", "state.apply", "fleet.salt.app");
  if (applied.code !== 0)
    throw new Error(`salt state.apply fleet.salt.app: exit code ${applied.code}\n${applied.stdout}`);
  return async (release, ...words) => {
    const pillar = `pillar={release: ${release}, first: host1, fleet: "*"}`;
    return readDeploy(await inMiddle("salt-run", "state.orchestrate", "fleet.salt.deploy", pillar, ...words));
  };
}

type InMiddle = (program: string, ...words: string[]) => Promise<Done>;

async function untilUp(inMiddle: InMiddle, hosts: number): Promise<void> {
  const deadline = Date.now() + TIME_LIMIT_MS / 2;
  let up: string[] = [];
  while (Date.now() < deadline) {
    const { stdout } = await inMiddle("salt", "--timeout=10", "--out=json", "--static", "*", "test.ping");
    up = [...stdout.matchAll(/"(host\d+)": true/g)].map(([, name = ""]) => name);
    if (up.length === hosts) return;
    await Bun.sleep(1000);
  }
  throw new Error(`of ${hosts} minions these have come up: ${up.join(", ")}`);
}

/** The steps and how each ended, and the counts. */
const RECAP = /^ *(ID: .*|Result: .*|Succeeded: .*|Failed: .*)$/;

export function readDeploy({ code, stdout, stderr }: Done): Deploy {
  const recap = stdout.split("\n").filter((line) => /^ {0,10}\S/.test(line) && RECAP.test(line));
  return { code, text: `${stdout}${stderr}`, recap: recap.map((line) => line.trim()), changed: {} };
}
