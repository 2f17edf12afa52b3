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

/** What kubernetes.yaml starts. */
export function podCommand(): string[] {
  const { spec } = Bun.YAML.parse(fixture("kubernetes.yaml")) as Manifest;
  return spec.template.spec.containers.flatMap(({ command, args }) => [...command, ...args]);
}

interface Manifest {
  spec: { template: { spec: { containers: { command: string[]; args: string[] }[] } } };
}
