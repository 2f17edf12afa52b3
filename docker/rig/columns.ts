/** The columns of the grid: the servers, as they are started behind `hupwatch --`. */
import { PLACE } from "./places.ts";

export interface Column {
  name: string;
  words: string[];
  transport: "unix" | "tcp";
  /** Processes that import the application, each for itself. */
  workers: number;
}

const SOCKET = `${PLACE}/app.sock`;
export const PORT = 8000;
const GUNICORN = ["gunicorn", "wsgi:application", "--workers", "2", "--bind"];

export const GUNICORN_UNIX: Column = {
  name: "gunicorn Unix",
  words: [...GUNICORN, `unix:${SOCKET}`],
  transport: "unix",
  workers: 2,
};

export const GUNICORN_TCP: Column = {
  name: "gunicorn TCP",
  words: [...GUNICORN, `0.0.0.0:${PORT}`],
  transport: "tcp",
  workers: 2,
};

export const COLUMNS: readonly Column[] = [
  GUNICORN_UNIX,
  GUNICORN_TCP,
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

/** Commands that no adapter knows: their own bind is seen, and where they listen is learned. */
export const WRAPPED_UNIX: Column = {
  ...GUNICORN_UNIX,
  name: "newrelic-admin Unix",
  words: ["newrelic-admin", "run-program", ...GUNICORN_UNIX.words],
};

export const WRAPPED_TCP: Column = {
  ...GUNICORN_TCP,
  name: "newrelic-admin TCP",
  words: ["newrelic-admin", "run-program", ...GUNICORN_TCP.words],
};

/** One that stays in front. */
export const TIMED: readonly Column[] = [GUNICORN_UNIX, GUNICORN_TCP].map((column) => ({
  ...column,
  name: column.name.replace("gunicorn", "timeout"),
  words: ["timeout", "9d", ...column.words],
}));
