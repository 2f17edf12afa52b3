/**
 * One host of the fleet: a network, processes and a /srv of its own, in which a real sshd and a real hupwatch with gunicorn run
 * below a real supervisord. Its file system is this machine's, but for /srv and /run.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename } from "node:path";
import type { StatusAnswer } from "../../../src/control/protocol.ts";
import { until } from "../../../test/harness/until.ts";
import { must, run } from "../command.ts";
import { ROOT } from "../places.ts";
import type { Access } from "./access.ts";
import { addressOf, type Namespace, plugIn, pullOut, startNamespace } from "./network.ts";

const SRV = "/srv";
const PLACE = `${SRV}/app`;
const PATH = `${SRV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
const BOOT_TIMEOUT_MS = 60_000;
const ASK =
  "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())";

/** What one look at a host finds. */
export interface Seen {
  name: string;
  /** The release that the link leads to, and the one that answers. */
  linked: string;
  serves: string;
  swapped: number;
  rolledBack: number;
  /** The releases that are there. */
  releases: string[];
}

export interface Host extends AsyncDisposable {
  name: string;
  address: string;
  look(): Promise<Seen>;
  /** From now on a release fails here that breaks where this file is. */
  spoil(): void;
  /** Where its link leads. */
  linked(): string;
  /** It loses its power. */
  die(): Promise<void>;
}

const supervisordConf = (directory: string): string => {
  const app = readFileSync(`${ROOT}/fixtures/supervisors/supervisord.conf`, "utf8")
    .replace("command=hupwatch -- gunicorn", `command=hupwatch --chdir ${PLACE}/current -- gunicorn`)
    .replace(`unix:${PLACE}/app.sock`, "0.0.0.0:8000");
  return `${app}
[program:sshd]
command=/usr/sbin/sshd -D -e -f ${directory}/sshd_config
stdout_logfile=${PLACE}/sshd.log
redirect_stderr=true
`;
};

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

/** Up when its first release answers. */
export async function startHost(
  number: number,
  middle: Namespace,
  access: Access,
  place: string,
): Promise<Host> {
  const directory = `${place}/host${number}`;
  const app = `${directory}/app`;
  mkdirSync(`${app}/releases`, { recursive: true });
  makeRelease(`${app}/releases/1`, "1");
  symlinkSync("releases/1", `${app}/current`);
  mkdirSync(`${directory}/bin`);
  symlinkSync(`${ROOT}/src/launcher.sh`, `${directory}/bin/hupwatch`);
  writeFileSync(`${app}/supervisord.conf`, supervisordConf(PLACE));
  writeFileSync(`${app}/sshd_config`, sshdConfig(access));
  writeFileSync(`${directory}/shadow`, shadow(), { mode: 0o600 });
  const script = [
    ...["mount -t tmpfs tmpfs /run", "mkdir -p /run/sshd", `mount --bind ${directory}/shadow /etc/shadow`],
    ...[`mount --bind ${directory} ${SRV}`, `hostname host${number}`],
    `exec tini -- supervisord -c ${PLACE}/supervisord.conf`,
  ].join("; ");
  const env = { PATH, HUPWATCH_BUN: process.execPath, HOME: access.directory, XDG_RUNTIME_DIR: "/run" };
  const namespace = await startNamespace(script, env, `${directory}/first.log`);
  try {
    await plugIn(middle, namespace, number);
    const host = new FleetHost(number, middle, namespace, directory, env);
    await until(() => host.serves(), {
      what: `host${number} to serve`,
      timeoutMs: BOOT_TIMEOUT_MS,
      everyMs: 100,
      context: () => host.log(),
    });
    return host;
  } catch (error) {
    await namespace[Symbol.asyncDispose]();
    throw error;
  }
}

/** A release breaks where a host is spoilt, or everywhere. */
export function makeRelease(
  directory: string,
  version: string,
  broken: "nowhere" | "everywhere" | "where spoilt" = "nowhere",
): void {
  mkdirSync(directory, { recursive: true });
  cpSync(`${ROOT}/fixtures/apps/wsgi.py`, `${directory}/app.py`);
  writeFileSync(`${directory}/VERSION`, `${version}\n`);
  const condition = {
    nowhere: "False",
    everywhere: "True",
    "where spoilt": `os.path.exists("${PLACE}/spoilt")`,
  }[broken];
  writeFileSync(
    `${directory}/wsgi.py`,
    `import os\nif ${condition}:\n    raise RuntimeError("release ${version} cannot reach its database")\nfrom app import application\n`,
  );
}

class FleetHost implements Host {
  readonly name: string;
  readonly address: string;

  constructor(
    private readonly number: number,
    private readonly middle: Namespace,
    private readonly namespace: Namespace,
    private readonly directory: string,
    private readonly env: Record<string, string>,
  ) {
    this.name = `host${number}`;
    this.address = addressOf(number);
  }

  /** The release that answers at its address; empty where none does. */
  async serves(): Promise<string> {
    const url = `http://${this.address}:8000/version`;
    const asked = await run(this.middle.inside(["python3", "-c", ASK, url]));
    return asked.code === 0 ? asked.stdout.trim() : "";
  }

  async #status(): Promise<StatusAnswer> {
    const words = this.namespace.within([`${SRV}/bin/hupwatch`, "status", "--json"]);
    const answer = JSON.parse(await must(words, { env: this.env }));
    return Array.isArray(answer) ? answer[0] : answer;
  }

  async look(): Promise<Seen> {
    const app = `${this.directory}/app`;
    const { swapped, rolledBack } = (await this.#status()).counts;
    return {
      name: this.name,
      linked: this.linked(),
      serves: await this.serves(),
      swapped,
      rolledBack,
      releases: readdirSync(`${app}/releases`).sort(),
    };
  }

  linked(): string {
    return basename(readlinkSync(`${this.directory}/app/current`));
  }

  spoil(): void {
    writeFileSync(`${this.directory}/app/spoilt`, "");
  }

  async die(): Promise<void> {
    await pullOut(this.middle, this.number);
    await this.namespace[Symbol.asyncDispose]();
  }

  log(): string {
    const files = [
      `${this.directory}/first.log`,
      ...["app", "sshd"].map((name) => `${this.directory}/app/${name}.log`),
    ];
    return files.map((file) => (existsSync(file) ? readFileSync(file, "utf8") : "")).join("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.namespace[Symbol.asyncDispose]();
  }
}
