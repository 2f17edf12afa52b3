/** The rows of the grid: what starts hupwatch in the container, and how a deploy is asked for there. */
import {
  COLUMNS,
  type Column,
  GUNICORN_TCP,
  GUNICORN_UNIX,
  TIMED,
  WRAPPED_TCP,
  WRAPPED_UNIX,
} from "./columns.ts";
import { podCommand, podPreStop } from "./fixture.ts";
import { PLACE } from "./places.ts";

/** HUP to the first process of the container, from outside. */
export const DOCKER_KILL = "docker kill -s HUP";

interface Base {
  /** The first process. */
  first(server: Column): string[];
  /** What has to be installed for it. */
  programs: readonly string[];
  /** Files of fixtures/supervisors, and where they go. */
  files: readonly (readonly [fixture: string, path: string])[];
  env?: Record<string, string>;
  /** Of `docker run`. */
  options?: readonly string[];
  image: "gunicorn" | "supervisors" | "systemd";
  /** What shows hupwatch's and the server's output, where it does not come out of the container. */
  showLog?: readonly string[];
}

export interface Row extends Base {
  name: string;
  /** For the shell beside the service; `{version}`, where it brings the new release itself. */
  deploy: string;
  /**
   * Only where TERM makes hupwatch leave the service to its successor, which is what makes a restart drop nothing: ends the
   * service before the container is stopped, for what is left in a stopped container is killed.
   */
  leaves?: string;
  /** Runs beside the service, which still gets its load, before anything ends it. */
  preStop?: string;
  columns: readonly Column[];
  /** In its files; hupwatch's own words, never the server's. */
  edit?: readonly [string, string];
  /** Of a first process that says how it was ended; else 0. */
  stopCode?: number;
  /** More deploys than elsewhere, to see what grows. */
  swaps?: number;
  short: boolean;
}

/** One that starts hupwatch again by itself: up to three rows. */
interface Supervisor extends Base {
  name: string;
  hup: string;
  restart: string;
  kill: string;
  /** For the last two: options, and what ends the service at the end. */
  leaving: { options?: readonly string[]; stop?: string };
}

const bare =
  (...before: string[]) =>
  (server: Column) => [...before, "hupwatch", "--", ...server.words];

const CONTAINER: Omit<Row, "name"> = {
  first: bare(),
  programs: [],
  files: [],
  image: "supervisors",
  deploy: DOCKER_KILL,
  columns: COLUMNS,
  short: false,
};

/** A TCP listener is taken over by pidfd_getfd(2). */
const PTRACE = ["--cap-add", "SYS_PTRACE"];
/** Below PID 1 hupwatch would end the service with itself: here something else is PID 1. */
const NOT_PID_1 = ["--init", ...PTRACE];

const SUPERVISORD: Supervisor = {
  name: "supervisord",
  // Both programs look for supervisord.conf in the working directory first.
  first: () => ["supervisord"],
  programs: ["supervisord"],
  files: [["supervisord.conf", `${PLACE}/supervisord.conf`]],
  image: "supervisors",
  hup: "supervisorctl signal HUP app",
  restart: "supervisorctl restart app",
  kill: "kill -9 $(supervisorctl pid app)",
  leaving: { options: NOT_PID_1, stop: "hupwatch stop" },
};

/**
 * circusd would start hupwatch again, so its watcher is removed; but it answers before it has done so, and a TERM that meets it
 * at any work is lost ("arbiter is already running"). When it takes the next command it is idle.
 */
const retried = (words: string) => `until circusctl ${words}; do sleep 0.1; done`;

const SUPERVISORS: readonly Supervisor[] = [
  SUPERVISORD,
  {
    name: "circus",
    first: () => ["circusd", "/etc/supervisors/circus.ini"],
    programs: ["circusd"],
    files: [["circus.ini", "/etc/supervisors/circus.ini"]],
    image: "supervisors",
    hup: "circusctl signal app HUP",
    restart: "circusctl restart app",
    kill: "kill -9 $(circusctl list app)",
    leaving: { options: NOT_PID_1, stop: `hupwatch stop && ${retried("rm app")} && ${retried("start")}` },
  },
  {
    name: "runit",
    first: () => ["/etc/supervisors/runit/container-init"],
    programs: ["runsvdir"],
    files: [
      ["runit/container-init", "/etc/supervisors/runit/container-init"],
      ["runit/app/run", "/etc/service/app/run"],
    ],
    image: "supervisors",
    hup: "sv hup /etc/service/app",
    restart: "sv restart /etc/service/app",
    kill: "kill -9 $(cat /etc/service/app/supervise/pid)",
    leaving: { options: PTRACE, stop: "sv once /etc/service/app && hupwatch stop" },
  },
  {
    name: "s6",
    first: () => ["s6-svscan", "/etc/s6"],
    programs: ["s6-svscan"],
    files: [["s6/app/run", "/etc/s6/app/run"]],
    image: "supervisors",
    hup: "s6-svc -h /etc/s6/app",
    restart: "s6-svc -r /etc/s6/app",
    kill: "kill -9 $(s6-svstat -o pid /etc/s6/app)",
    leaving: { options: PTRACE, stop: "s6-svc -O /etc/s6/app && hupwatch stop" },
  },
  {
    name: "systemd",
    first: () => ["/lib/systemd/systemd"],
    programs: ["systemctl"],
    files: [["systemd/app.service", "/etc/systemd/system/app.service"]],
    image: "systemd",
    // What a real systemd needs to boot, without --privileged.
    options: [
      ...["--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--env", "container=docker"],
      ...["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"],
      ...["--cgroupns=host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"],
      ...["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"],
    ],
    showLog: ["journalctl", "--unit", "app", "--output", "cat", "--no-pager"],
    hup: "systemctl reload app",
    restart: "systemctl restart app",
    kill: "systemctl kill --kill-who=main --signal=KILL app",
    // When systemd halts, the unit's ExecStop drains.
    leaving: {},
  },
];

function rowsOf({ name, hup, restart, kill, leaving, ...base }: Supervisor): Row[] {
  const plain = { ...base, columns: COLUMNS, short: false };
  const options = [...(base.options ?? []), ...(leaving.options ?? [])];
  const left: Omit<Row, "name" | "deploy"> = {
    ...plain,
    options,
    // Where a file has it: with -k a restart would be an end and a beginning.
    edit: ["hupwatch -k ", "hupwatch "],
    ...(leaving.stop === undefined ? {} : { leaves: leaving.stop }),
  };
  return [
    { ...plain, name, deploy: hup },
    { ...left, name: `${name}, restart`, deploy: restart },
    { ...left, name: `${name}, kill -9`, deploy: kill },
  ];
}

const [BY_HUP, BY_RESTART, ...BY_OTHERS] = SUPERVISORS.flatMap(rowsOf) as [Row, Row, ...Row[]];

/** Those that ask for deploys from outside. */
const DEPLOYERS: readonly Row[] = [
  {
    ...BY_HUP,
    name: "Ansible, supervisord",
    files: [...BY_HUP.files, ["ansible.yml", "/etc/supervisors/ansible.yml"]],
    programs: ["supervisord", "ansible-playbook"],
    deploy: "ansible-playbook -i localhost, -c local -e version={version} /etc/supervisors/ansible.yml",
    columns: [GUNICORN_UNIX],
  },
  {
    ...BY_HUP,
    name: "Salt, supervisord",
    files: [...BY_HUP.files, ["salt.sls", "/etc/supervisors/salt.sls"]],
    programs: ["supervisord", "salt-call"],
    deploy:
      "salt-call --local --retcode-passthrough --file-root=/etc/supervisors state.apply salt pillar='{version: {version}}'",
    columns: [GUNICORN_UNIX],
  },
];

const POD: Omit<Row, "name"> = {
  ...CONTAINER,
  first: podCommand,
  image: "gunicorn",
  preStop: podPreStop(),
  columns: [GUNICORN_TCP],
};

const KUBERNETES: readonly Row[] = [
  { ...POD, name: "Kubernetes manifest", deploy: "kill -HUP 1" },
  // There the pause container is PID 1.
  { ...POD, name: "Kubernetes, shareProcessNamespace", options: ["--init"], deploy: "hupwatch reload" },
];

const PROCFILE: Row = {
  ...CONTAINER,
  name: "Procfile, honcho",
  // honcho does not wait for processes that it did not start.
  options: ["--init"],
  first: () => ["honcho", "start", "--procfile", "/etc/supervisors/Procfile"],
  programs: ["honcho"],
  files: [["Procfile", "/etc/supervisors/Procfile"]],
  deploy: "hupwatch reload",
  stopCode: 128 + 15,
};

const INTERCEPTED: Omit<Row, "name"> = { ...CONTAINER, columns: [WRAPPED_UNIX, WRAPPED_TCP] };
const NO_CAPABILITIES = ["--cap-drop", "ALL"];
const READ_ONLY = ["--read-only", "--tmpfs", "/tmp", "--tmpfs", "/run"];
const NOT_ROOT = ["--user", "1000:1000"];

/** As root, and the server as another user. */
const entrypoint = (by: "setpriv" | "gosu"): Row => ({
  ...CONTAINER,
  name: `intercepted, entrypoint.sh, ${by}`,
  first: () => ["hupwatch", "--", "/etc/supervisors/entrypoint.sh"],
  programs: [by],
  files: [["entrypoint.sh", "/etc/supervisors/entrypoint.sh"]],
  columns: [GUNICORN_UNIX, GUNICORN_TCP],
  ...(by === "gosu" ? { edit: ["setpriv --reuid=app --regid=app --init-groups", "gosu app"] as const } : {}),
});

/** Commands that bind by themselves, with whatever rights there are. */
const ANY_COMMAND: readonly Row[] = [
  { ...INTERCEPTED, name: "intercepted, default profile" },
  // The directory is another user's: without CAP_DAC_OVERRIDE root makes no socket there.
  { ...INTERCEPTED, name: "intercepted, --cap-drop ALL", options: NO_CAPABILITIES, columns: [WRAPPED_TCP] },
  { ...INTERCEPTED, name: "intercepted, --read-only", options: READ_ONLY },
  { ...INTERCEPTED, name: "intercepted, uid 1000", options: NOT_ROOT },
  {
    ...INTERCEPTED,
    name: "intercepted, no capabilities, read-only, uid 1000",
    options: [...NO_CAPABILITIES, ...READ_ONLY, ...NOT_ROOT, "--security-opt", "no-new-privileges"],
    short: true,
  },
  entrypoint("setpriv"),
  entrypoint("gosu"),
  { ...BY_HUP, name: "intercepted, supervisord", columns: [WRAPPED_UNIX, WRAPPED_TCP] },
  {
    ...(BY_OTHERS.find(({ name }) => name === "systemd") as Row),
    name: "intercepted, systemd, User=app, NoNewPrivileges=yes",
    edit: ["[Service]\n#", "[Service]\nUser=app\nNoNewPrivileges=yes\n#"],
    columns: TIMED,
  },
];

/** What grows would be seen after so many. No warm-up, to get there. */
const LONG: readonly Row[] = [
  {
    ...CONTAINER,
    name: "hupwatch is PID 1, 100 swaps",
    swaps: 100,
    first: ({ words }) => ["hupwatch", "-w", "0", "--", ...words],
    columns: [GUNICORN_UNIX],
  },
  {
    ...BY_RESTART,
    // Each takes the second that supervisord gives a start, and more.
    name: "supervisord, 100 restarts",
    swaps: 100,
    edit: ["hupwatch --", "hupwatch -w 0 --"],
    columns: [GUNICORN_TCP],
  },
];

export const ROWS: readonly Row[] = [
  { ...CONTAINER, name: "hupwatch is PID 1", short: true },
  { ...CONTAINER, name: "docker run --init", options: ["--init"], short: true },
  { ...CONTAINER, name: "dumb-init", first: bare("dumb-init", "--"), programs: ["dumb-init"] },
  { ...BY_HUP, short: true },
  { ...BY_RESTART, short: true },
  ...BY_OTHERS,
  PROCFILE,
  ...KUBERNETES,
  ...DEPLOYERS,
  ...ANY_COMMAND,
  ...LONG,
];

/** Each row with each of its servers. */
export const CELLS: readonly (readonly [Row, Column])[] = ROWS.flatMap((row) =>
  row.columns.map((column) => [row, column] as const),
);

export const isInShortGrid = ([row, column]: readonly [Row, Column]): boolean =>
  row.short && column === row.columns[0];
