/** One contract over all adapters: what each reads out of a command, and the words and variables that hand it the sockets. */
import { describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { parseStopSequence } from "../../src/plan/stop-sequence.ts";
import { parseCheck } from "../../src/ready/parse.ts";
import type { Handed, ServerTraits } from "../../src/servers/adapter.ts";
import { ADAPTERS, traitsOf } from "../../src/servers/adapters.ts";
import { handOver } from "../../src/sockets/handover.ts";
import { parseSpec } from "../../src/sockets/spec.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";
import { PYTHON } from "../setup/places.ts";
import { SERVERS } from "../setup/servers.ts";

const read = (words: string, env: Record<string, string> = {}, directory = "/srv"): ServerTraits =>
  traitsOf({ words: words.split(" "), env, directory });

const takeOf = ({ handover }: ServerTraits) => (handover.by === "intercept" ? undefined : handover.take);

/** As generation 7 gets it; a Unix socket's own path is its public one with `.7`. */
function handed(traits: ServerTraits, binds: readonly string[]): { words: string; env: object } {
  const specs = binds.map((text) => parseSpec(text, "/srv"));
  const { words, env = {} }: Handed = takeOf(traits)?.(specs) ?? { words: traits.words };
  const sockets = specs.map(({ name, address, text }) => ({
    name,
    socket: address.kind === "unix" ? `${address.path}.7` : text,
  }));
  const besides = traits.handover.by === "intercept" && traits.handover.besides !== undefined;
  const filled = handOver({ mode: traits.handover.by, words, env, sockets, besides, generation: 7 });
  return { words: filled.words.join(" "), env: filled.env };
}

interface Row {
  given: string;
  env?: Record<string, string>;
  server: string;
  binds: string[];
  /** --bind, where the server's own are not known. */
  held?: string[];
  words: string;
  stop: string;
  gets?: Record<string, string>;
}

const LISTEN = (...names: string[]) => ({
  LISTEN_FDS: `${names.length}`,
  LISTEN_FDNAMES: names.join(":"),
});

const ROWS: Row[] = [
  {
    given: "uvicorn app:app",
    server: "uvicorn",
    binds: ["127.0.0.1:8000"],
    words: "uvicorn app:app --fd 3",
    stop: "TERM/60s/KILL",
  },
  {
    given: "uvicorn --host :: --port 80 app:app --workers 2 --timeout-graceful-shutdown 5",
    server: "uvicorn",
    binds: ["[::]:80"],
    words: "uvicorn app:app --workers 2 --timeout-graceful-shutdown 5 --fd 3",
    stop: "TERM/35s/KILL",
  },
  {
    given: "python3 -m uvicorn app:app --uds=a.sock",
    env: { UVICORN_UDS: "/other.sock" },
    server: "uvicorn",
    binds: ["unix:/srv/a.sock"],
    words: "python3 -m uvicorn app:app --fd 3",
    gets: { UVICORN_UDS: "" },
    stop: "TERM/60s/KILL",
  },
  {
    given: "hypercorn -b unix:a.sock --bind :80 app:app --graceful-timeout 10",
    server: "hypercorn",
    binds: ["unix:/srv/a.sock", ":80"],
    words: "hypercorn app:app --graceful-timeout 10 --bind fd://3 --bind fd://4",
    stop: "TERM/40s/KILL",
  },
  {
    given: "daphne -u a.sock app:app",
    server: "daphne",
    binds: ["unix:/srv/a.sock"],
    words: "daphne app:app -e systemd:domain=UNIX:index=0",
    gets: LISTEN("a.sock"),
    stop: "TERM/60s/KILL",
  },
  {
    given: "daphne -b ::1 -p 80 app:app",
    server: "daphne",
    binds: ["[::1]:80"],
    words: "daphne app:app -e systemd:domain=INET6:index=0",
    gets: LISTEN("port-80"),
    stop: "TERM/60s/KILL",
  },
  {
    given: "uwsgi --http-socket :80 -s /a.sock -p 4 -w app",
    server: "uWSGI",
    binds: [":80", "unix:/a.sock"],
    words:
      "uwsgi -p 4 -w app --http-socket fd://3 --socket fd://4 --master --exit-on-reload --ignore-sigpipe",
    stop: "HUP/90s/KILL",
  },
  {
    given: "uwsgi -w app --worker-reload-mercy=5",
    server: "uWSGI",
    binds: [],
    held: [":80"],
    words:
      "uwsgi -w app --worker-reload-mercy=5 --http-socket fd://3 --master --exit-on-reload --ignore-sigpipe",
    stop: "HUP/35s/KILL",
  },
  {
    given: "granian --interface asgi --uds /a.sock app:app",
    server: "granian",
    binds: ["unix:/a.sock"],
    words: "granian --interface asgi app:app --uds /a.sock.7",
    stop: "TERM/60s/KILL",
  },
  {
    given: "cheroot app:app --bind 127.0.0.1:80",
    server: "cheroot",
    binds: ["127.0.0.1:80"],
    words: "cheroot app:app --bind 127.0.0.1:80",
    gets: LISTEN("port-80"),
    stop: "INT/35s/KILL",
  },
  {
    given: "bundle exec puma -b unix:///a.sock -p 3000 -w 2",
    server: "puma",
    binds: ["unix:/a.sock", "0.0.0.0:3000"],
    words: "bundle exec puma -w 2 --bind-to-activated-sockets=only",
    gets: LISTEN("a.sock", "port-3000"),
    stop: "TERM/60s/KILL",
  },
  {
    given: "unicorn -l /a.sock -l 127.0.0.1:80 config.ru",
    server: "unicorn",
    binds: ["unix:/a.sock", "127.0.0.1:80"],
    words: "unicorn config.ru",
    gets: LISTEN("a.sock", "port-80"),
    stop: "QUIT/90s/KILL",
  },
  {
    given: "nginx -c /n.conf",
    server: "nginx",
    binds: [],
    held: ["127.0.0.1:80", "127.0.0.1:81"],
    words: "nginx -c /n.conf",
    gets: { NGINX: "3;4;" },
    stop: "QUIT/60s/KILL",
  },
  {
    given: "haproxy -W -f h.cfg",
    server: "HAProxy",
    binds: [],
    held: [":80"],
    words: "haproxy -W -f h.cfg",
    stop: "USR1/60s/KILL",
  },
  {
    given: "caddy run",
    server: "Caddy",
    binds: [],
    held: [":80"],
    words: "caddy run",
    stop: "TERM/60s/KILL",
  },
  {
    given: "php-fpm8.2 -F",
    server: "php-fpm",
    binds: [],
    held: ["unix:/p.sock", "127.0.0.1:9000"],
    words: "php-fpm8.2 -F",
    gets: { FPM_SOCKETS: "/p.sock.7=3,127.0.0.1:9000=4", HUPWATCH_SOCKET: "/p.sock.7" },
    stop: "QUIT/60s/KILL",
  },
  ...(["node", "bun", "deno"] as const).map((name) => ({
    given: `${name} server.ts`,
    server: { node: "Node.js", bun: "Bun", deno: "Deno" }[name],
    binds: [],
    held: [":80"],
    words: `${name} server.ts`,
    gets: LISTEN("port-80"),
    stop: "TERM/60s/KILL",
  })),
  {
    given: "./server --fast",
    server: "server",
    binds: [],
    held: ["web=:80"],
    words: "./server --fast",
    gets: LISTEN("web"),
    stop: "TERM/60s/KILL",
  },
];

test.each(ROWS)("$given", ({ given, env, server, binds, held, words, stop, gets = {} }) => {
  const traits = read(given, env);
  expect(traits.server).toStartWith(server);
  expect(traits.binds).toEqual(binds);
  expect(traits.stop.sequence).toBe(stop);
  // Some want more than sockets, to be stopped.
  expect(traits.words.join(" ")).toStartWith(given);
  expect(handed(traits, held ?? binds)).toEqual({ words, env: gets });
});

// "A server is already running. Check tmp/pids/server.pid": no HUP of a Rails could ever succeed.
test.each([
  ["rails server", {}, "rails server -P /srv/tmp/pids/server.pid.7"],
  ["bin/rails s -p 80", {}, "bin/rails s -p 80 -P /srv/tmp/pids/server.pid.7"],
  ["/app/bin/rails server -P a.pid -b ::", {}, "/app/bin/rails server -b :: -P /app/a.pid.7"],
  ["rails s", { PIDFILE: "/run/a.pid" }, "rails s -P /run/a.pid.7"],
  ["ruby bin/rails server", {}, "ruby bin/rails server -P /srv/tmp/pids/server.pid.7"],
  ["rails s -P tmp/{gen}.pid", {}, "rails s -P tmp/7.pid"],
  ["rackup --pid=r.pid -p 80", {}, "rackup -p 80 -P /srv/r.pid.7"],
  ["rackup -p 80", {}, "rackup -p 80"],
  ["rails console", {}, "rails console"],
] as const)("each generation of Rails has a pid file of its own: %s", (given, env, words) => {
  expect(handed(read(given, env), []).words).toBe(words);
});

// haproxy.cfg(5): words in double quotes have their variables expanded.
test.each([
  ["stats socket /run/h.sock mode 660", 'write stats socket "/run/h.sock.'],
  ["stats socket unix@/run/h.sock", "unix@/run/h.sock.$"],
  ["stats socket ipv4@127.0.0.1:9999 level admin", "/run/haproxy/stats.$"],
  [`stats socket "/run/h.sock.$\{HUPWATCH_GENERATION}"`, undefined],
])("HAProxy's stats socket is named at the start: %s", (line, said) => {
  using dir = tempDir();
  writeFileSync(`${dir.path}/h.cfg`, `global\n  ${line}\n`);
  const notes = read("haproxy -f h.cfg", {}, dir.path).notes.filter((note) => note.includes("stats socket"));
  if (said === undefined) expect(notes).toEqual([]);
  else expect(notes).toEqual([expect.stringContaining(said)]);
});

test("nginx stays in the foreground, also where it inherits no socket", () => {
  expect(read("nginx -c /n.conf").words).toEqual(["nginx", "-c", "/n.conf", "-g", "daemon off;"]);
  expect(read("nginx -g daemon;").words).toEqual(["nginx", "-g", "daemon;"]);
  using dir = tempDir();
  writeFileSync(`${dir.path}/n.conf`, "worker_processes 1;\ndaemon off;\n");
  expect(read(`nginx -c ${dir.path}/n.conf`).words).toEqual(["nginx", "-c", `${dir.path}/n.conf`]);
});

test("every adapter has a row here, or tests of its own", () => {
  const seen = new Set(ROWS.map(({ server }) => server.toLowerCase().replace(".js", "")));
  const elsewhere = ["rails", "gunicorn", "waitress", "generic"];
  expect(ADAPTERS.map(({ name }) => name).filter((n) => !seen.has(n) && !elsewhere.includes(n))).toEqual([]);
});

test("every adapter has a real server that is installed, run and measured", () => {
  const names = SERVERS.map(({ name }) => name.toLowerCase());
  // Rails runs one of the others below it (test/e2e/pid-files.test.ts), and generic whatever has no name.
  const elsewhere = ["rails", "generic"];
  const hasOne = (adapter: string) => names.some((name) => name.startsWith(adapter));
  expect(ADAPTERS.map(({ name }) => name).filter((n) => !hasOne(n) && !elsewhere.includes(n))).toEqual([]);
});

describe("what every adapter says is understood by the rest", () => {
  const all = [...ROWS.map((row) => row.given), "gunicorn app:app", "waitress-serve app:app"];
  test.each(all)("%s", (given) => {
    const { ready, stop, quirks, notes, notesWhere: { unbound = [] } = {}, binds } = read(given);
    expect(parseCheck(ready).label).toBe(ready);
    expect(parseStopSequence(stop.sequence).at(-1)?.signal).toBe("SIGKILL");
    for (const bind of binds) expect(parseSpec(bind, "/srv").text).toBe(bind);
    expect(stop.drain.length).toBeGreaterThan(3);
    for (const { what, link } of quirks) {
      expect(what.length).toBeGreaterThan(5);
      expect(link).toStartWith("https://");
    }
    for (const note of [...notes, ...unbound]) expect(note).not.toMatch(/\.$/);
  });
});

describe("waitress is called from Python, since its command takes no descriptor", () => {
  test.each([
    ["waitress-serve --listen=127.0.0.1:80 app:app", ["127.0.0.1:80"], "3 app:app"],
    ["python3 -m waitress --port=80 --threads=2 app:app", ["0.0.0.0:80"], "3 --threads=2 app:app"],
    [
      "waitress-serve --listen=127.0.0.1:80 --listen=127.0.0.1:81 app:app",
      ["127.0.0.1:80", "127.0.0.1:81"],
      "3,4 app:app",
    ],
  ])("%s", (given, binds, tail) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/waitress-serve`, `#!${PYTHON}\n`, { mode: 0o755 });
    const traits = read(given, { PATH: dir.path }, dir.path);
    expect(traits.binds).toEqual(binds);
    const { words } = handed(traits, binds);
    expect(words).toStartWith(given.startsWith("python3") ? "python3 -c " : `${PYTHON} -c `);
    expect(words).toEndWith(` ${tail}`);
    expect(traits.stop.sequence).toBe("INT/30s/KILL");
  });
  test("the mode of its Unix socket is its own", () => {
    expect(read("waitress-serve --unix-socket=/a.sock a:b").sockets?.mode).toBe(0o600);
    expect(read("waitress-serve --unix-socket=/a.sock --unix-socket-perms=660 a:b").sockets?.mode).toBe(
      0o660,
    );
  });
});

describe("what cannot be handed over is said before anything starts", () => {
  test.each([
    ["uvicorn app:app --workers 2", [":80", ":81"], "uvicorn with --workers or --reload takes one socket"],
    ["cheroot app:app", [":80", ":81"], "cheroot takes one socket"],
    ["granian app:app", [":80"], "granian takes no descriptor"],
    ["nginx", ["unix:/a.sock"], "nginx cannot be passed 'unix:/a.sock'"],
  ])("%s with %j", (given, binds, message) => {
    const error = thrownBy(() => handed(read(given), binds));
    expect(error.message).toStartWith(message);
    expect(error.hint).toBeTruthy();
  });
});

describe("addresses in puma's config file", () => {
  const rows: [file: string, binds: string[], env?: Record<string, string>][] = [
    ["port 3000\n", ["0.0.0.0:3000"]],
    ['port ENV.fetch("PORT", 3000)\n', ["0.0.0.0:3000"]],
    ['port ENV.fetch("PORT", 3000)\n', ["0.0.0.0:5000"], { PORT: "5000" }],
    ['port        ENV.fetch("PORT") { 3000 }\n', ["0.0.0.0:3000"]],
    ['bind "unix:///run/a.sock"\nworkers 2\n', ["unix:/run/a.sock"]],
    ["bind 'tcp://127.0.0.1:81' # the admin's\n", ["127.0.0.1:81"]],
    ["workers 2\n", ["0.0.0.0:9292"]],
    ['bind "unix://#{dir}/a.sock"\n', []],
  ];
  test.each(rows)("%j: %j", (file, binds, env = {}) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/p.rb`, file);
    const traits = read(`puma -C p.rb`, env, dir.path);
    expect(traits.binds).toEqual(binds);
    expect(traits.unknownBinds !== undefined).toBe(binds.length === 0);
    expect(read("puma -C p.rb -b tcp://127.0.0.1:1", env, dir.path).binds).toEqual(["127.0.0.1:1"]);
  });
});

test.skipIf(!existsSync("/usr/bin/puma"))(
  "puma is asked for what its config file computes (needs puma)",
  () => {
    using dir = tempDir();
    writeFileSync(
      `${dir.path}/p.rb`,
      'puts "talks"\nbase = 80\nbind "tcp://127.0.0.1:#{base + 1}"\nport(base + 2)\n',
    );
    const traits = read("puma -C p.rb", { PATH: process.env.PATH ?? "" }, dir.path);
    expect(traits.binds).toEqual(["127.0.0.1:81", "0.0.0.0:82"]);
    expect(traits).toMatchObject({ ran: "puma was run to print its settings" });
    expect(traits.unknownBinds).toBeUndefined();
  },
);

// A release directory whose name had a 0 was taken for the generation's number: all generations wrote one state file.
test.skipIf(!existsSync("/usr/bin/puma"))(
  "puma's state file is each generation's own, unless its config file makes one for each (needs puma)",
  () => {
    using dir = tempDir();
    const stateOf = (name: string) => {
      writeFileSync(`${dir.path}/p.rb`, `state_path "${name}"\n`);
      const env = { PATH: process.env.PATH ?? "", HUPWATCH_GENERATION: "0" };
      const { words } = read("puma -C p.rb", env, dir.path);
      return words.includes("--state") ? words[words.indexOf("--state") + 1] : undefined;
    };
    expect(stateOf("/srv/v-0/puma.state")).toBe("/srv/v-0/puma.state.{gen}");
    expect(stateOf('/srv/puma.#{ENV["HUPWATCH_GENERATION"]}.state')).toBeUndefined();
  },
);

// The fuzz: `puma -C ""` names the directory, and ended hupwatch with EISDIR. A pipe (`-C <(make-config)`) would have been read in the server's place.
test.each([
  ["puma -C FILE", []],
  ["puma -C FILE -b tcp://127.0.0.1:1", ["127.0.0.1:1"]],
  ["unicorn -c FILE config.ru", ["0.0.0.0:8080"]],
  ["nginx -c FILE", []],
  ["haproxy -f FILE", []],
  ["uwsgi --ini FILE --http-socket 127.0.0.1:1", ["127.0.0.1:1"]],
])(
  "%s: a config file that cannot be read, or comes from a pipe, is the server's to judge",
  (command, binds) => {
    using dir = tempDir();
    expect(Bun.spawnSync(["mkfifo", `${dir.path}/pipe`]).exitCode).toBe(0);
    for (const file of [dir.path, `${dir.path}/pipe`])
      expect(read(command.replace("FILE", file), {}, dir.path).binds).toEqual(binds);
  },
);

const UNICORN = "/usr/bin/unicorn";
describe("addresses in unicorn's config file", () => {
  const env = { PATH: process.env.PATH ?? "" };
  const readFile = (text: string) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/u.rb`, text);
    return read("unicorn -c u.rb config.ru", env, dir.path);
  };
  test.each<[text: string, binds: string[]]>([
    ["listen 3000\n", ["0.0.0.0:3000"]],
    [
      "listen 3000, backlog: 64 # the app\n  listen '127.0.0.1:81', tcp_nopush: true\n",
      ["0.0.0.0:3000", "127.0.0.1:81"],
    ],
    ["# listen 1\nworker_processes 2\n", ["0.0.0.0:8080"]],
  ])("%j", (text, binds) => {
    const traits = readFile(text);
    expect(traits).toMatchObject({ binds });
    expect(traits).not.toHaveProperty("asked");
  });
  test.skipIf(!existsSync(UNICORN)).each<[text: string, binds: string[]]>([
    ["listen '/run/a.sock'\n", ["unix:/run/a.sock"]],
    ["listen '/run/a.sock', umask: 0007\nlisten(81)\n", ["unix:/run/a.sock", "0.0.0.0:81"]],
    ["listen((ENV['X'] || 80).to_i)\n", ["0.0.0.0:80"]],
  ])("unicorn is asked (needs unicorn): %j", (text, binds) => {
    const traits = readFile(text);
    expect(traits).toMatchObject({ binds, ran: "unicorn was run to print its settings" });
    if (text.includes("umask"))
      expect(traits.sockets?.of).toMatchObject({ "unix:/run/a.sock": { mode: 0o770 } });
    // The file's own lines are passed over, and all that it is handed is served.
    expect(takeOf(traits)?.([]).words[1]).toBe("-e");
  });
  test.skipIf(!existsSync(UNICORN))("where it cannot be asked, that is told (needs unicorn)", () => {
    expect(readFile("listen '/run/a.sock'\nraise 'no'\n").unknownBinds).toContain("unicorn could not be run");
  });
});

const HYPERCORN = "/usr/bin/hypercorn";
describe.skipIf(!existsSync(HYPERCORN))("hypercorn is asked for its config file (needs hypercorn)", () => {
  test.each([
    ["h.toml", 'bind = ["127.0.0.1:81", "unix:a.sock"]\ninsecure_bind = [":82"]\ngraceful_timeout = 5\n'],
    [
      "file:h.py",
      'print("talks")\nbind = ["127.0.0.1:" + str(80 + 1), "unix:a.sock"]\ninsecure_bind = ":82"\ngraceful_timeout = 5\n',
    ],
    ["python:h", 'bind = ["127.0.0.1:81", "unix:a.sock"]\ninsecure_bind = ":82"\ngraceful_timeout = 5\n'],
  ])("-c %s", (config, text) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/${config.replace(/^.*:/, "").replace(/^h$/, "h.py")}`, text);
    const env = { PATH: process.env.PATH ?? "" };
    const traits = read(`${HYPERCORN} -c ${config} app:app`, env, dir.path);
    expect(traits.binds).toEqual(["127.0.0.1:81", `unix:${dir.path}/a.sock`]);
    expect(traits).toMatchObject({
      stop: { sequence: "TERM/35s/KILL" },
      ran: "hypercorn was run to print its configuration",
    });
    expect(traits.notes.join()).toContain("hypercorn itself binds :82 of its config file");
    expect(read(`${HYPERCORN} -c ${config} -b :1 app:app`, env, dir.path).binds).toEqual([":1"]);
  });
  test("where it cannot be asked, that is told", () => {
    expect(read(`${HYPERCORN} -c none.toml app:app`).unknownBinds).toContain(
      "the binds of none.toml are not known",
    );
  });
});

describe("what the user is told", () => {
  test.each([
    ["uv run uvicorn app:app", /'uv run' stays.*run uvicorn by its own path/],
    ["tini -- daphne app:app", /'tini' stays.*run daphne by its own path/],
    ["uvicorn app:app --fd 3", /--fd is kept as it is/],
    ["sh -c uvicorn", /a shell hides the server/],
    ["npm start", /'npm' stays as a process in front/],
    ["uwsgi --http :80 -w app", /use --http-socket/],
    ["haproxy -D -f h.cfg", /-D makes HAProxy leave hupwatch/],
    ["php-fpm", /add -F: without it php-fpm leaves hupwatch/],
  ])("%s", (given, note) => {
    const { notes, notesWhere: { unseen = [] } = {} } = read(given);
    expect([...notes, ...unseen].join("\n")).toMatch(note);
  });

  test.each([
    ["--ini a.ini", "[uwsgi]\n; socket = :1\nhttp-socket = :80\n"],
    ["a.ini:app", "[app]\nhttp-socket = :80\n"],
    ["--yaml a.yml", "uwsgi:\n  # socket: :1\n  http-socket: :80\n"],
    ["--xml a.xml", "<uwsgi><http-socket>:80</http-socket></uwsgi>\n"],
    ["-j a.json", '{"uwsgi": {"http-socket": ":80"}}\n'],
  ])("what a config file of uWSGI binds by itself: %s", (words, text) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/${words.replace(/^-\S+ |:app$/g, "")}`, text);
    expect(read(`uwsgi ${words}`, {}, dir.path)).toMatchObject({
      ...{ binds: [":80"], handover: { by: "intercept" }, ready: "http" },
    });
  });

  test.each([
    ["--ini a.ini", "no address was found in a.ini"],
    ["-w app", "no address is known"],
  ])("uWSGI without an address: %s", (words, note) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/a.ini`, "[uwsgi]\ninclude = other.ini\n");
    expect(read(`uwsgi ${words}`, {}, dir.path).notesWhere?.unbound?.join()).toStartWith(note);
  });

  // https://uwsgi-docs.readthedocs.io/en/latest/WSGIquickstart.html has such files.
  test.each<[text: string, traits: object]>([
    ["[uwsgi]\nhttp-socket = 127.0.0.1:80\n", { binds: ["127.0.0.1:80"], handover: { by: "intercept" } }],
    [
      "[uwsgi]\nsocket = %d%n.sock\n",
      { binds: ["unix:DIR/a.sock"], handover: { by: "intercept" }, ready: "connect" },
    ],
    ["[uwsgi]\nhttp11-socket = :80\n", { binds: [":80"], handover: { by: "intercept" } }],
    ["[uwsgi]\nfastcgi-socket = /f.sock\n", { binds: ["unix:/f.sock"], handover: { by: "intercept" } }],
    ["[uwsgi]\nbase = /srv\nsocket = %(base)/a.sock\n", { binds: ["unix:/srv/a.sock"] }],
    ["[uwsgi]\nsocket = $(SOCK)\n", { binds: ["unix:/env.sock"] }],
    ["[uwsgi]\ninclude = b.ini\n", { binds: [":81"], handover: { by: "intercept" } }],
    ["[uwsgi]\nsocket = %h.sock\n", { binds: [], unknownBinds: expect.stringContaining("a.ini has") }],
    ["[uwsgi]\nif-env = X\nsocket = :80\n", { unknownBinds: expect.stringContaining("'if-env'") }],
    [
      "[uwsgi]\nsocket = /a.sock\nchmod-socket = 660\nchown-socket = www-data:\n",
      { sockets: { mode: 0o660, owner: { user: "www-data" } } },
    ],
  ])("what an ini file of uWSGI says: %j", (text, traits) => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/a.ini`, text);
    writeFileSync(`${dir.path}/b.ini`, "[uwsgi]\nhttp-socket = :81\n");
    const wanted = JSON.stringify(traits).includes("DIR") ? { binds: [`unix:${dir.path}/a.sock`] } : traits;
    expect(read("uwsgi --ini a.ini", { SOCK: "/env.sock" }, dir.path)).toMatchObject(wanted);
  });

  test("an ini file of uWSGI that takes what it is handed", () => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/a.ini`, "[uwsgi]\nsocket = fd://3\n");
    const traits = read("uwsgi a.ini", {}, dir.path);
    expect(traits.notes).toEqual([]);
    expect(traits.ready).toBe("connect");
    expect(handed(traits, [":80"]).words).toBe("uwsgi a.ini --master --exit-on-reload --ignore-sigpipe");
  });
});
