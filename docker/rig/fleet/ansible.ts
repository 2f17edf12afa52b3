/**
 * `ansible-playbook` with the playbook of fixtures/fleet, in the middle, by real ssh; and what its recap says. On the hosts a real
 * sshd, and hupwatch with gunicorn, below a real supervisord.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { type Done, run } from "../command.ts";
import { ROOT } from "../places.ts";
import { type Access, makeAccess, sshWords } from "./access.ts";
import type { Deploy, Deployer, EngineOf, Site } from "./engine.ts";
import { PATH } from "./host.ts";
import { addressOf, type Namespace } from "./network.ts";

const DIRECTORY = `${ROOT}/fixtures/fleet/ansible`;
const TIME_LIMIT_MS = 300_000;

const APP = "/srv/app";

export const ansible: EngineOf = async ({ middle, place, hosts }) => {
  const access = await makeAccess(place, hosts);
  return {
    equip: (site) => equip(site, access),
    begin: async () => deployer(middle, access, hosts, `${place}/releases`),
  };
};

function equip({ files }: Site, access: Access): string {
  writeFileSync(`${files}/app/supervisord.conf`, SUPERVISORD_CONF);
  writeFileSync(`${files}/app/sshd_config`, sshdConfig(access));
  writeFileSync(`${files}/shadow`, shadow(), { mode: 0o600 });
  const shadowed = `mkdir -p /run/sshd; mount --bind ${files}/shadow /etc/shadow`;
  return `${shadowed}; exec tini -- supervisord -c ${APP}/supervisord.conf`;
}

const SUPERVISORD_CONF = `${readFileSync(`${ROOT}/fixtures/supervisors/supervisord.conf`, "utf8")
  .replace("command=hupwatch -- gunicorn", `command=hupwatch --chdir ${APP}/current -- gunicorn`)
  .replace(`unix:${APP}/app.sock`, "0.0.0.0:8000")}
[program:sshd]
command=/usr/sbin/sshd -D -e -f ${APP}/sshd_config
stdout_logfile=${APP}/sshd.log
redirect_stderr=true
`;

/** Root's account may be locked, and without PAM sshd lets no locked one in, not by a key either. */
const shadow = (): string => readFileSync("/etc/shadow", "utf8").replace(/^root:[^:]*:/m, "root:*:");

const sshdConfig = ({ directory, hostKey, client }: Access): string => `
ListenAddress 0.0.0.0
HostKey ${hostKey}
PidFile none
UsePAM no
StrictModes no
AuthorizedKeysFile ${client}.pub
PasswordAuthentication no
PermitRootLogin prohibit-password
SetEnv PATH=${PATH} HUPWATCH_BUN=${process.execPath} HOME=${directory}
Subsystem sftp internal-sftp
MaxStartups 100
`;

function deployer(middle: Namespace, access: Access, hosts: number, releases: string): Deployer {
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

const RECAP = /^(\S+) +: ok=\d+ +changed=(\d+) .*/;

export function readDeploy({ code, stdout, stderr }: Done): Deploy {
  const text = `${stdout}${stderr}`;
  const at = text.indexOf("PLAY RECAP");
  const lines = at < 0 ? [] : text.slice(at).split("\n");
  const rows = lines.flatMap((line) => {
    const match = RECAP.exec(line);
    return match ? [match] : [];
  });
  return {
    code,
    text,
    recap: rows.map(([line]) => line.trimEnd()),
    changed: Object.fromEntries(rows.map(([, name = "", changed]) => [name, Number(changed)])),
  };
}
