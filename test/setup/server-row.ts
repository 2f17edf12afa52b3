/** A row of the servers' tables: what it says of a server, and what most rows say in the same way. */
import { PYTHON, SERVERS_VENV } from "./places.ts";

export type Transport = "unix" | "tcp";

export interface Place {
  /** Where the fixture apps are, and where the command starts. */
  directory: string;
  transport: Transport;
  /** The address: a path or host:port. */
  at: string;
}

export interface ServerRow {
  name: string;
  /** What is executed and must be there. */
  program: string;
  /** A command whose output has its version. */
  version: readonly string[];
  /** Of Debian and Ubuntu; of several ways the first that the distribution has. Undefined: it is built, or of PyPI. */
  packages?: readonly string[];
  /** The distribution of PyPI, whose newest version is wanted; its module has the same name. */
  pypi?: string;
  transports: readonly Transport[];
  command(place: Place): string[];
  /** hupwatch's own options; default none, since the adapter reads the command. */
  options?(place: Place): string[];
  env?: Record<string, string>;
  /** Files in the directory that the version comes from, where the environment cannot tell it. */
  deploy?(place: Place, version: string): void | Promise<void>;
  /** The command of a proxy that clients ask in its place, at `at`: what is behind it does not speak HTTP. */
  front?(place: Place, at: string): Promise<string[]>;
  /** What must be there besides. */
  needs?: readonly string[];
  /** It serves only `/`: a proxy without an app behind it. */
  plain?: boolean;
  /** Measured for the table, and left out of the tests: another test or another row stands for it. */
  tableOnly?: boolean;
  /** What it needs takes long to get, so that only the table has it installed. */
  isCostly?: boolean;
}

export const newest = (program: string) => `${SERVERS_VENV}/bin/${program}`;
/** Where a program comes from: PyPI's newest, else the distribution's packages. */
export const from = (program: string, pypi: string, ...packages: string[]): Partial<ServerRow> =>
  program.startsWith(SERVERS_VENV) ? { pypi } : { packages };
/** For those that have no option for it. */
export const distribution = (name: string, program: string): string[] => [
  program.startsWith(SERVERS_VENV) ? `${SERVERS_VENV}/bin/python` : PYTHON,
  ...["-c", `import importlib.metadata; print(importlib.metadata.version("${name}"))`],
];
const BOTH = ["unix", "tcp"] as const;
export const bindOf = ({ transport, at }: Place) => (transport === "unix" ? `unix:${at}` : at);
export const [host, port] = [(at: string) => at.replace(/:\d+$/, ""), (at: string) => at.replace(/^.*:/, "")];
export const ask = (place: Place) => ["--bind", bindOf(place)];

export const row = (
  name: string,
  program: string,
  command: (place: Place) => string[],
  more: Partial<ServerRow> = {},
): ServerRow => ({
  name,
  program,
  version: [program, "--version"],
  transports: BOTH,
  command: (place) => [program, ...command(place)],
  ...more,
});

export const tableOnly = (server: ServerRow): ServerRow => ({ ...server, tableOnly: true });
