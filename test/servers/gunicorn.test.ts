/** What hupwatch reads out of a gunicorn command line: addresses, mode, stop sequence, and what to tell the user. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import type { ServerTraits } from "../../src/servers/adapter.ts";
import { traitsOf } from "../../src/servers/adapters.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";
import { GUNICORNS } from "../setup/places.ts";

const read = (words: string, env: Record<string, string> = {}, directory = "/srv/site"): ServerTraits =>
  traitsOf({ words: words.split(" "), env, directory });

describe("addresses", () => {
  const rows: [words: string, binds: string[], env?: Record<string, string>][] = [
    ["gunicorn app:app", ["127.0.0.1:8000"]],
    ["gunicorn app:app", ["0.0.0.0:5000"], { PORT: "5000" }],
    ["env PORT=5000 gunicorn app:app", ["0.0.0.0:5000"]],
    ["gunicorn app:app -b :1", [":1"], { PORT: "5000" }],
    ["gunicorn app:app --bind unix:/tmp/app.sock", ["unix:/tmp/app.sock"]],
    ["gunicorn app:app --bind unix:///tmp/app.sock", ["unix:/tmp/app.sock"]],
    ["gunicorn app:app --bind unix:app.sock", ["unix:/srv/site/app.sock"]],
    ["gunicorn app:app --chdir sub --bind unix:app.sock", ["unix:/srv/site/sub/app.sock"]],
    ["gunicorn app:app --chdir /opt -b unix:app.sock", ["unix:/opt/app.sock"]],
    ["gunicorn app:app -b 127.0.0.1:9000", ["127.0.0.1:9000"]],
    ["gunicorn -b127.0.0.1:9000 app:app", ["127.0.0.1:9000"]],
    ["gunicorn --bind=127.0.0.1:9000 app:app", ["127.0.0.1:9000"]],
    ["gunicorn -b [::1]:8000 app:app", ["[::1]:8000"]],
    ["gunicorn -b [::1] app:app", ["[::1]:8000"]],
    ["gunicorn -b localhost app:app", ["localhost:8000"]],
    ["gunicorn -b tcp://127.0.0.1:9000 app:app", ["127.0.0.1:9000"]],
    ["gunicorn -b :1 -b unix:/x --bind :2,:3 app:app", [":1", "unix:/x", ":2", ":3"]],
    ["gunicorn -b fd://3 app:app", ["fd://3"]],
    ["gunicorn app:app", ["0.0.0.0:7000"], { GUNICORN_CMD_ARGS: "--workers 3 --bind 0.0.0.0:7000" }],
    ["gunicorn app:app -b :1", [":1"], { GUNICORN_CMD_ARGS: "--bind :7000" }],
    ["env GUNICORN_CMD_ARGS=--bind=:7000 gunicorn app:app", [":7000"]],
    ["gunicorn app:app", [":7000"], { GUNICORN_CMD_ARGS: "-b :7000", PORT: "5000" }],
    ["python -m gunicorn app:app -b :1", [":1"]],
    ["/srv/venv/bin/gunicorn app:app -b :1", [":1"]],
    ["/srv/venv/bin/python -m gunicorn app:app -b :1", [":1"]],
    ["gunicorn3 app:app -b :1", [":1"]],
    ["poetry run gunicorn app:app -b :1", [":1"]],
  ];
  test.each(rows)("%s holds %j", (words, binds, env = {}) => {
    const traits = read(words, env);
    expect(traits.binds).toEqual(binds);
    expect(traits.server).toStartWith("gunicorn");
    expect(traits.handover.by).toBe("systemd");
    // With LISTEN_FDS gunicorn ignores its own binds: the words stay.
    expect(traits.words).toEqual(words.split(" "));
  });

  test.each(["gunicornx app:app", "python app.py gunicorn", "node gunicorn.js", "sh -c gunicorn"])(
    "%s is not gunicorn",
    (words) => {
      expect(read(words).server).not.toStartWith("gunicorn (");
      expect(read(words).binds).toEqual([]);
    },
  );
});

test.each([
  ["", 0o777],
  ["--umask 007", 0o770],
  ["-m 022", 0o755],
  ["-m 077", 0o700],
  ["-m 0o77", 0o700],
  ["-m 0x3f", 0o700],
  ["-m 18", 0o755],
])("umask '%s' makes sockets of mode %o", (umask, mode) => {
  expect(read(`gunicorn app:app ${umask}`.trim()).sockets?.mode).toBe(mode);
});

describe("how it is asked, checked and stopped", () => {
  test("HTTP, and with TLS a connect: its port answers no plain request", () => {
    expect(read("gunicorn app:app").ready).toBe("http");
    expect(read("gunicorn app:app --certfile x.pem --keyfile y.pem").ready).toBe("connect");
  });
  test("its own graceful timeout comes before our KILL", () => {
    expect(read("gunicorn app:app").stop.sequence).toBe("TERM/60s/KILL");
    expect(read("gunicorn app:app --graceful-timeout 90").stop.sequence).toBe("TERM/120s/KILL");
  });
  test("the socket's owner is the one that it would have without hupwatch", () => {
    expect(read("gunicorn app:app").sockets).not.toHaveProperty("owner");
    expect(read("gunicorn app:app -u www-data -g www").sockets?.owner).toEqual({
      user: "www-data",
      group: "www",
    });
    expect(read("gunicorn app:app --group www").sockets?.owner).toEqual({ group: "www" });
  });
});

describe("what the user is told", () => {
  const rows: [words: string, note: RegExp | undefined][] = [
    ["gunicorn app:app", undefined],
    [
      "gunicorn app:app --pid /run/g.pid",
      /pid file \/run\/g\.pid.*\/run\/g\.pid\.N, and \/run\/g\.pid has hupwatch/,
    ],
    ["gunicorn app:app -p /run/g.pid", /pid file/],
    ["gunicorn app:app --daemon", /--daemon makes gunicorn leave hupwatch/],
    ["gunicorn app:app -D", /--daemon/],
    ["gunicorn app:app --reload", /for development only/],
    ["gunicorn app:app --reuse-port", /--reuse-port is left out/],
    ["uv run gunicorn app:app", /signals reach gunicorn only if it passes them on/],
  ];
  test.each(rows)("%s", (words, note) => {
    const { notes } = read(words);
    if (note) expect(notes.join("\n")).toMatch(note);
    else expect(notes).toEqual([]);
  });

  test("--reuse-port is dropped from the words: with it gunicorn ignores the sockets it is given", () => {
    expect(read("gunicorn app:app --reuse-port -b :1").words).toEqual(["gunicorn", "app:app", "-b", ":1"]);
  });
});

describe.skipIf(!existsSync(GUNICORNS.debian))("a config file is asked of gunicorn itself", () => {
  const G = GUNICORNS.debian;
  const config = (dir: string, text: string, name = "gunicorn.conf.py") => {
    writeFileSync(`${dir}/${name}`, text);
    return dir;
  };
  const env = { PATH: process.env.PATH ?? "" };

  test("gunicorn.conf.py in the directory, which may print and compute what it likes", () => {
    using dir = tempDir();
    const text = `
import os
print("a config may talk")
bind = ["unix:app.sock", "127.0.0.1:" + str(9000 + 1)]
umask = 0o027
graceful_timeout = 5
pidfile = "g.pid"
`;
    const traits = read(`${G} app:app`, env, config(dir.path, text));
    expect(traits.binds).toEqual([`unix:${dir.path}/app.sock`, "127.0.0.1:9001"]);
    expect(traits).toMatchObject({
      sockets: { mode: 0o750 },
      stop: { sequence: "TERM/35s/KILL" },
      ready: "http",
    });
    expect(traits.notes.join()).toContain("g.pid");
  });

  test.each(["-c conf/my.py", "--config=conf/my.py", "-cconf/my.py", "--config python:conf.my"])(
    "%s, and the words still beat it",
    (option) => {
      using dir = tempDir();
      mkdirSync(`${dir.path}/conf`);
      config(dir.path, "bind = ':7000'\ncertfile = 'x.pem'\nkeyfile = 'y.pem'\n", "conf/my.py");
      for (const name of ["x.pem", "y.pem"]) writeFileSync(`${dir.path}/${name}`, "");
      expect(read(`${G} app:app ${option}`, env, dir.path)).toMatchObject({
        binds: [":7000"],
        ready: "connect",
      });
      expect(read(`${G} app:app ${option} -b :1`, env, dir.path).binds).toEqual([":1"]);
    },
  );

  test("a config file with the name of the package hides it from nobody", () => {
    using dir = tempDir();
    config(dir.path, "bind = ':7000'\n", "gunicorn.py");
    expect(read(`${G} -c gunicorn.py app:app`, env, dir.path).binds).toEqual([":7000"]);
  });

  test("what it says of its directory is meant through the link that leads there", () => {
    using dir = tempDir();
    mkdirSync(`${dir.path}/1`);
    symlinkSync("1", `${dir.path}/current`);
    const text = `
import os
bind = "unix:" + os.getcwd() + "/app.sock"
pidfile = os.getcwd() + "/pids/g.pid"
`;
    config(`${dir.path}/1`, text);
    const traits = read(`${G} app:app`, env, `${dir.path}/current`);
    expect(traits.binds).toEqual([`unix:${dir.path}/current/app.sock`]);
    expect(traits.words.at(-1)).toBe(`--pid=${dir.path}/current/pids/g.pid.{gen}`);
    expect(traits.pidfile?.path).toBe(`${dir.path}/current/pids/g.pid`);
    expect(traits.pidfile?.ofGeneration).toBe(`${dir.path}/current/pids/g.pid.{gen}`);
  });

  test("a pid file that an upgrade has left is told: hooks like to signal the process in it", () => {
    using dir = tempDir();
    config(dir.path, "pidfile = 'g.pid'\n");
    expect(read(`${G} app:app`, env, dir.path).notes.join()).not.toContain("oldbin");
    writeFileSync(`${dir.path}/g.pid.oldbin`, "1\n");
    expect(read(`${G} app:app`, env, dir.path).notes.join()).toContain(`${dir.path}/g.pid.oldbin is left`);
  });

  test("GUNICORN_CMD_ARGS with quotes is the business of its own parser", () => {
    using dir = tempDir();
    const args = { ...env, GUNICORN_CMD_ARGS: "--bind 'unix:/tmp/a b.sock'" };
    expect(read(`${G} app:app`, args, dir.path).binds).toEqual(["unix:/tmp/a b.sock"]);
  });

  test("a config that is wrong is told in gunicorn's own words, with its exit code", () => {
    using dir = tempDir();
    const error = thrownBy(() => read(`${G} app:app`, env, config(dir.path, "bind = 1 / 0\n")));
    expect(error.message).toContain("ZeroDivisionError");
    expect(error.hint).toContain("--check-config");
    expect(error.exitCode).toBeGreaterThan(0);
  });
});
