/** The one table of what is tried: rows are who starts hupwatch and how a deploy is asked for there, columns are servers. */
import { readFileSync } from "node:fs";
import { PLACE, ROOT } from "./places.ts";

export interface Column {
  name: string;
  /** The server's words behind `hupwatch --`. */
  words: string[];
  transport: "unix" | "tcp";
  /** Processes that import the application, each for itself. */
  workers: number;
}

const SOCKET = `${PLACE}/app.sock`;
export const PORT = 8000;
const GUNICORN = ["gunicorn", "wsgi:application", "--workers", "2", "--bind"];

export const COLUMNS: readonly Column[] = [
  { name: "gunicorn Unix", words: [...GUNICORN, `unix:${SOCKET}`], transport: "unix", workers: 2 },
  { name: "gunicorn TCP", words: [...GUNICORN, `0.0.0.0:${PORT}`], transport: "tcp", workers: 2 },
  {
    name: "uvicorn",
    words: ["uvicorn", "wsgi:application", "--interface", "wsgi", "--uds", SOCKET],
    transport: "unix",
    workers: 1,
  },
  {
    name: "uWSGI",
    words: [
      ...["uwsgi", "--plugin", "python3", "--module", "wsgi:application", "--http-socket", SOCKET],
      ...["--processes", "2", "--lazy-apps", "--die-on-term", "--chmod-socket=666"],
    ],
    transport: "unix",
    workers: 2,
  },
];

export interface Row {
  name: string;
  /** The first process. */
  first(server: Column): string[];
  /** Files of fixtures/supervisors, and where they go. */
  files: readonly (readonly [fixture: string, path: string])[];
  env?: Record<string, string>;
  /** Of `docker run`. */
  options?: readonly string[];
  image: "supervisors" | "systemd";
  /** A command beside the service, or HUP to the first process. */
  deploy: readonly string[] | "signal";
  /** The deploy as a person types it. */
  typed: string;
  /** What shows hupwatch's and the server's output, where it does not come out of the container. */
  showLog?: readonly string[];
  /** Why stopping the container ends what is running at once, where that is how it has to be. */
  cutsAtStop?: string;
  short: boolean;
}

const BARE = (server: Column) => ["hupwatch", "--", ...server.words];
const supervisord: Omit<Row, "name" | "deploy" | "typed"> = {
  first: () => ["supervisord", "-c", "/etc/supervisors/supervisord.conf"],
  files: [["supervisord.conf", "/etc/supervisors/supervisord.conf"]],
  env: { PLACE, HUPWATCH: "hupwatch" },
  image: "supervisors",
  short: false,
};
const CTL = ["supervisorctl", "-c", "/etc/supervisors/supervisord.conf"];
const LEAVES = "not below PID 1, so hupwatch leaves at TERM and the service goes with the container";

/** Not below PID 1, where hupwatch would end the service with itself; a TCP listener is taken by pidfd_getfd(2). */
const TAKES_OVER = ["--init", "--cap-add", "SYS_PTRACE"];

const SYSTEMD: Omit<Row, "name" | "deploy" | "typed"> = {
  first: () => ["/lib/systemd/systemd"],
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
  short: false,
};

export const ROWS: readonly Row[] = [
  {
    name: "hupwatch is PID 1",
    first: BARE,
    files: [],
    image: "supervisors",
    deploy: "signal",
    typed: "docker kill -s HUP",
    short: true,
  },
  {
    name: "docker run --init",
    first: BARE,
    files: [],
    image: "supervisors",
    options: ["--init"],
    deploy: "signal",
    typed: "docker kill -s HUP",
    short: true,
  },
  {
    ...supervisord,
    name: "supervisord",
    deploy: [...CTL, "signal", "HUP", "app"],
    typed: "supervisorctl signal HUP app",
    short: true,
  },
  {
    ...supervisord,
    name: "supervisord, restart",
    options: TAKES_OVER,
    deploy: [...CTL, "restart", "app"],
    typed: "supervisorctl restart app",
    cutsAtStop: LEAVES,
    short: true,
  },
  {
    ...supervisord,
    name: "supervisord, kill -9",
    options: TAKES_OVER,
    deploy: ["sh", "-c", `kill -9 $(${CTL.join(" ")} pid app)`],
    typed: "kill -9 <hupwatch>",
    cutsAtStop: LEAVES,
    short: false,
  },
  {
    name: "circus",
    first: () => ["circusd", "/etc/supervisors/circus.ini"],
    files: [["circus.ini", "/etc/supervisors/circus.ini"]],
    image: "supervisors",
    deploy: ["circusctl", "signal", "app", "HUP"],
    typed: "circusctl signal app HUP",
    short: false,
  },
  {
    name: "runit",
    first: () => ["/etc/supervisors/runit/container-init"],
    files: [
      ["runit/container-init", "/etc/supervisors/runit/container-init"],
      ["runit/app/run", "/etc/service/app/run"],
    ],
    image: "supervisors",
    deploy: ["sv", "hup", "/etc/service/app"],
    typed: "sv hup app",
    short: false,
  },
  {
    name: "s6",
    first: () => ["s6-svscan", "/etc/s6"],
    files: [["s6/app/run", "/etc/s6/app/run"]],
    image: "supervisors",
    deploy: ["s6-svc", "-h", "/etc/s6/app"],
    typed: "s6-svc -h app",
    short: false,
  },
  {
    name: "dumb-init",
    first: (server) => ["dumb-init", "--", ...BARE(server)],
    files: [],
    image: "supervisors",
    deploy: "signal",
    typed: "docker kill -s HUP",
    short: false,
  },
  {
    ...SYSTEMD,
    name: "systemd",
    deploy: ["systemctl", "reload", "app"],
    typed: "systemctl reload app",
  },
  {
    ...SYSTEMD,
    name: "systemd, restart",
    deploy: ["systemctl", "restart", "app"],
    typed: "systemctl restart app",
  },
];

/** The server's words as all the files of fixtures/supervisors have them. */
const SERVER = /gunicorn wsgi:application --workers 2 --bind unix:\S+\/app\.sock/;

/** A file of fixtures/supervisors as it is, but for the server. Throws where it does not name one. */
export function withServer(text: string, server: Column): string {
  if (!SERVER.test(text)) return text.includes("hupwatch ") ? fail(text) : text;
  return text.replace(SERVER, () => server.words.join(" "));
}

function fail(text: string): never {
  throw new Error(`no 'gunicorn wsgi:application --workers 2 --bind unix:…/app.sock' in\n${text}`);
}

export const filesOf = (row: Row, server: Column): { path: string; text: string }[] =>
  row.files.map(([fixture, path]) => ({
    path,
    text: withServer(readFileSync(`${ROOT}/fixtures/supervisors/${fixture}`, "utf8"), server),
  }));
