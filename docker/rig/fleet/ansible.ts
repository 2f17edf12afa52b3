/** `ansible-playbook` with the playbook of fixtures/fleet, in the middle, by real ssh; and what its recap says. */
import { writeFileSync } from "node:fs";
import { type Done, run } from "../command.ts";
import { ROOT } from "../places.ts";
import { type Access, sshWords } from "./access.ts";
import { addressOf, type Namespace } from "./network.ts";

const DIRECTORY = `${ROOT}/fixtures/fleet/ansible`;
const TIME_LIMIT_MS = 300_000;

export interface Recap {
  ok: number;
  changed: number;
  unreachable: number;
  failed: number;
  rescued: number;
}

export interface Deploy {
  code: number;
  /** All it said. */
  text: string;
  /** The lines of its recap. */
  recap: string[];
  hosts: Record<string, Recap>;
}

export type Deployer = (release: string, ...words: string[]) => Promise<Deploy>;

/** `releases` is where the releases are that are deployed. */
export function ansible(middle: Namespace, access: Access, hosts: number, releases: string): Deployer {
  const inventory = `${access.directory}/inventory`;
  const names = Array.from({ length: hosts }, (_, i) => `host${i + 1} ansible_host=${addressOf(i + 1)}`);
  writeFileSync(inventory, `${names.join("\n")}\n`);
  const env = {
    ANSIBLE_CONFIG: `${DIRECTORY}/ansible.cfg`,
    ANSIBLE_HOME: access.directory,
    ANSIBLE_LOCAL_TEMP: `${access.directory}/tmp`,
    ANSIBLE_REMOTE_TMP: "/run/ansible",
    ANSIBLE_REMOTE_USER: "root",
    ANSIBLE_SSH_ARGS: sshWords(access).join(" "),
    ANSIBLE_PYTHON_INTERPRETER: "/usr/bin/python3",
    ANSIBLE_NOCOLOR: "1",
  };
  return async (release, ...words) => {
    const values = ["-e", `release=${release}`, "-e", `release_archive=${releases}/${release}.tar.gz`];
    const all = middle.inside([
      "ansible-playbook",
      "-i",
      inventory,
      `${DIRECTORY}/deploy.yml`,
      ...values,
      ...words,
    ]);
    return readDeploy(await run(all, { env, timeoutMs: TIME_LIMIT_MS }));
  };
}

const RECAP =
  /^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+) +skipped=\d+ +rescued=(\d+)/;

export function readDeploy({ code, stdout, stderr }: Done): Deploy {
  const text = `${stdout}${stderr}`;
  const lines = text.slice(text.indexOf("PLAY RECAP")).split("\n");
  const found =
    lines.flatMap((line) => RECAP.exec(line) ?? []).length > 0
      ? lines.filter((line) => RECAP.test(line))
      : [];
  const hosts = Object.fromEntries(
    found.map((line) => {
      const [, name = "", ...numbers] = RECAP.exec(line) ?? [];
      const [ok = 0, changed = 0, unreachable = 0, failed = 0, rescued = 0] = numbers.map(Number);
      return [name, { ok, changed, unreachable, failed, rescued }];
    }),
  );
  return { code, text, recap: found.map((line) => line.trimEnd()), hosts };
}
