/** Which program a command line runs, and where its own words begin. */
import { expect, test } from "bun:test";
import { type Program, programOf } from "../../src/servers/reading/program.ts";

const found = (name: string, argsFrom: number, more: Partial<Program> = {}) => ({ name, argsFrom, ...more });

const set = (name: string, value: string) => ({ kind: "set" as const, name, value });
const envdir = (path: string) => ({ changes: [{ kind: "envdir" as const, path }] });

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
  // https://github.com/topoteretes/cognee/pull/870
  ["python3 -m debugpy --listen 1:2 -m gunicorn app", found("gunicorn", 7, { interpreter: "python3" })],
  [
    "python3 -m debugpy --wait-for-client --listen 1:2 ./gunicorn app",
    found("gunicorn", 7, { interpreter: "python3" }),
  ],
  ["python -m coverage run --source app -m gunicorn app", found("gunicorn", 8, { interpreter: "python" })],
  ["python -c print(1)", undefined],
  ["python", undefined],
  ["python -m", undefined],
  ["env gunicorn app", found("gunicorn", 2)],
  ["/usr/bin/env A=1 B=2 gunicorn app", found("gunicorn", 4, { changes: [set("A", "1"), set("B", "2")] })],
  [
    "env -i -u HOME -C /srv PATH=/bin gunicorn app",
    found("gunicorn", 8, {
      changes: [
        { kind: "clear" },
        { kind: "unset", name: "HOME" },
        { kind: "chdir", path: "/srv" },
        set("PATH", "/bin"),
      ],
    }),
  ],
  [
    "env A=1 python -m gunicorn app",
    found("gunicorn", 5, { interpreter: "python", changes: [set("A", "1")] }),
  ],
  ["exec gunicorn app", found("gunicorn", 2)],
  ["chpst -e ./e gunicorn app", found("gunicorn", 4, { from: 3, ...envdir("./e") })],
  ["chpst -u www -P -e./e gunicorn app", found("gunicorn", 6, envdir("./e"))],
  ["envdir /etc/e python -m gunicorn app", found("gunicorn", 5, { from: 2, ...envdir("/etc/e") })],
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
  // Found by the fuzz: a table looked such a name up in its prototype, and `hupwatch -- constructor` ended with a stack trace.
  ["constructor app", found("constructor", 1)],
  ["./toString run", found("toString", 1)],
  ["python -m __proto__ x", found("__proto__", 3)],
  ["", undefined],
];

test.each(ROWS)("%s", (words, program) => {
  const read = programOf(words.split(" ").filter(Boolean));
  if (program === undefined) expect(read).toBeUndefined();
  else expect(read).toMatchObject(program);
});
