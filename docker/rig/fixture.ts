/** The files of fixtures/supervisors as a cell needs them: as they are, but for the server and what its row changes. */
import { readFileSync } from "node:fs";
import type { Column } from "./columns.ts";
import type { Row } from "./matrix.ts";
import { ROOT } from "./places.ts";

/** The server's words as all the files have them. */
const SERVER = /gunicorn wsgi:application --workers 2 --bind unix:\S+\/app\.sock/;

/** Throws where the text starts hupwatch, but not with that server. */
export function withServer(text: string, server: Column): string {
  if (SERVER.test(text)) return text.replace(SERVER, () => server.words.join(" "));
  if (!/hupwatch (\S+ )*--\s/.test(text)) return text;
  throw new Error(`no 'gunicorn wsgi:application --workers 2 --bind unix:…/app.sock' in\n${text}`);
}

export const filesOf = (row: Row, server: Column): { path: string; text: string }[] =>
  row.files.map(([name, path]) => ({ path, text: edited(row, withServer(fixture(name), server)) }));

const fixture = (name: string): string => readFileSync(`${ROOT}/fixtures/supervisors/${name}`, "utf8");

const edited = ({ edit }: Row, text: string): string => (edit ? text.replace(...edit) : text);

const container = (): Container => {
  const { spec } = Bun.YAML.parse(fixture("kubernetes.yaml")) as Manifest;
  const [only, ...others] = spec.template.spec.containers;
  if (only === undefined || others.length > 0) throw new Error("kubernetes.yaml has not one container");
  return only;
};

/** What kubernetes.yaml starts. */
export const podCommand = (): string[] => [...container().command, ...container().args];

/** What kubernetes.yaml has run before TERM. */
export const podPreStop = (): string => container().lifecycle.preStop.exec.command.join(" ");

interface Container {
  command: string[];
  args: string[];
  lifecycle: { preStop: { exec: { command: string[] } } };
}

interface Manifest {
  spec: { template: { spec: { containers: Container[] } } };
}
