/** Which program a command line runs, and where its own words begin. */
import { expect, test } from "bun:test";
import { type Program, programOf } from "../../src/servers/reading/program.ts";

const found = (name: string, argsFrom: number, more: Partial<Program> = {}) => ({ name, argsFrom, ...more });

const ROWS: [words: string, program: Partial<Program> | undefined][] = [
  ["gunicorn app:app", found("gunicorn", 1)],
  ["/srv/venv/bin/gunicorn app:app", found("gunicorn", 1)],
  ["./server.py --port 80", found("server", 1)],
  ["python -m gunicorn app:app", found("gunicorn", 3, { interpreter: "python" })],
  ["/venv/bin/python3.13 -m gunicorn app", found("gunicorn", 3, { interpreter: "/venv/bin/python3.13" })],
  ["python -u -X dev -W error -m gunicorn app", found("gunicorn", 8, { interpreter: "python" })],
  ["python -m gunicorn.__main__ app", found("gunicorn", 3, { interpreter: "python" })],
  ["pypy3 manage.py runserver", found("manage", 2, { interpreter: "pypy3" })],
  ["python /usr/bin/gunicorn app", found("gunicorn", 2, { interpreter: "python" })],
  ["python -c print(1)", undefined],
  ["python", undefined],
  ["python -m", undefined],
  ["env gunicorn app", found("gunicorn", 2)],
  ["/usr/bin/env A=1 B=2 gunicorn app", found("gunicorn", 4, { assignments: { A: "1", B: "2" } })],
  ["env -i -u HOME -C /srv PATH=/bin gunicorn app", found("gunicorn", 8, { assignments: { PATH: "/bin" } })],
  [
    "env A=1 python -m gunicorn app",
    found("gunicorn", 5, { interpreter: "python", assignments: { A: "1" } }),
  ],
  ["exec gunicorn app", found("gunicorn", 2)],
  ["poetry run gunicorn app", found("gunicorn", 3)],
  ["pipenv run gunicorn app", found("gunicorn", 3)],
  ["bundle exec puma -p 80", found("puma", 3)],
  ["uv run gunicorn app", found("gunicorn", 3, { runner: "uv run" })],
  ["nice -n 5 ionice -c 2 chrt -i 0 gunicorn app", found("gunicorn", 10)],
  ["setpriv --reuid www --clear-groups gunicorn app", found("gunicorn", 5)],
  ["gosu www gunicorn app", found("gunicorn", 3)],
  ["ddtrace-run gunicorn app", found("gunicorn", 2)],
  ["tini -- gunicorn app", found("gunicorn", 3, { runner: "tini" })],
  ["uv run --with x gunicorn app", found("gunicorn", 5, { runner: "uv run" })],
  ["poetry install", found("poetry", 1)],
  ["", undefined],
];

test.each(ROWS)("%s", (words, program) => {
  const read = programOf(words.split(" ").filter(Boolean));
  if (program === undefined) expect(read).toBeUndefined();
  else expect(read).toMatchObject(program);
});
