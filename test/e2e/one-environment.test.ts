/**
 * What is planned, asked, looked for and started happens in one and the same environment: own variables, --env-file, what stands
 * before the server in its words. By real gunicorns, and by what `explain` says of them.
 */
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Explanation } from "../../src/cli/explanation.ts";
import { freePort } from "../harness/free-port.ts";
import { type Hupwatch, LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { type TempDir, tempDir } from "../harness/temp-dir.ts";
import { GUNICORNS, PYTHON, SERVERS_VENV, VENV } from "../setup/places.ts";

const APP = `
import os
def app(environ, start):
    start("200 OK", [])
    return [(os.environ["HUPWATCH_GENERATION"] + " " + os.environ.get("TOLD", "")).encode()]
`;

function site(files: Record<string, string> = {}): TempDir {
  const dir = tempDir();
  for (const [name, text] of Object.entries({ "wsgi.py": APP, ...files })) {
    if (name.includes("/"))
      mkdirSync(`${dir.path}/${name.slice(0, name.lastIndexOf("/"))}`, { recursive: true });
    writeFileSync(`${dir.path}/${name}`, text);
  }
  return dir;
}

const environment = (cwd: string, more: Record<string, string> = {}) => ({
  ...process.env,
  PWD: cwd,
  HUPWATCH_BUN: process.execPath,
  XDG_RUNTIME_DIR: cwd,
  UV_OFFLINE: "1",
  UV_CACHE_DIR: `${cwd}/uv-cache`,
  ...more,
});

/** hupwatch to its end. */
function run(words: string[], cwd: string, env?: Record<string, string>) {
  const done = Bun.spawnSync([LAUNCHER, ...words], { cwd, env: environment(cwd, env) });
  return { code: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
}

function explained(words: string[], cwd: string, env?: Record<string, string>): Explanation {
  const { out, err } = run(["explain", "--json", ...words], cwd, env);
  if (out === "") throw new Error(err);
  return JSON.parse(out) as Explanation;
}

const binds = (e: Explanation) => e.sockets.map(({ bind }) => bind);

async function answer(socket: string): Promise<string> {
  const curl = Bun.spawn(["curl", "-sS", "-m", "50", "--unix-socket", socket, "http://x/"], {
    stderr: "inherit",
  });
  return (await curl.stdout.text()).trim();
}

/** Two generations, each of which answers. */
async function swapped(hupwatch: Hupwatch, socket: string, told = ""): Promise<void> {
  expect(await answer(socket)).toBe(`1 ${told}`.trim());
  await hupwatch.swap(2);
  expect(await answer(socket)).toBe(`2 ${told}`.trim());
}

// https://github.com/benoitc/gunicorn/issues/1001, https://www.uvicorn.org/settings/: PORT, GUNICORN_CMD_ARGS, UVICORN_* are variables
describe("the address is looked for with the variables that the command will have", () => {
  test.each<[file: string, words: string[], address: string]>([
    ["PORT=20101", [GUNICORNS.pypi, "wsgi:app"], "0.0.0.0:20101"],
    ['GUNICORN_CMD_ARGS="--bind unix:/tmp/e.sock"', [GUNICORNS.pypi, "wsgi:app"], "unix:/tmp/e.sock"],
    ["UVICORN_PORT=20104", [`${SERVERS_VENV}/bin/uvicorn`, "asgi:app"], "127.0.0.1:20104"],
    [`PATH=${VENV}/bin:/usr/bin:/bin\nPORT=5`, ["gunicorn", "wsgi:app"], "0.0.0.0:5"],
  ])("--env-file %j", (file, words, address) => {
    using dir = site({ env: `${file}\n` });
    const e = explained(["--env-file", "env", "--", ...words], dir.path);
    expect(binds(e)).toEqual([address]);
    expect(e.warnings).toEqual([]);
  });

  test.each([
    [["chpst", "-e", "./e"]],
    [["chpst", "-P", "-e./e"]],
    [["env", "-C", "sub", "chpst", "-e", "../e"]],
    [["env", "-u", "PORT", "PORT=20103"]],
  ])("%j", (front) => {
    using dir = site({ "e/PORT": "20103  \nmore\n", "e/EMPTY": "", "sub/x": "" });
    expect(binds(explained(["--", ...front, GUNICORNS.debian, "wsgi:app"], dir.path))).toEqual([
      "0.0.0.0:20103",
    ]);
  });

  test("the config file is asked with them", async () => {
    using dir = site({
      "gunicorn.conf.py": 'import os\nbind = "unix:" + os.environ["SOCK"]\nworkers = 1\n',
    });
    const socket = `${dir.path}/t.sock`;
    writeFileSync(`${dir.path}/env`, `SOCK=${socket}\nTOLD=p#ss\n`);
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0", "--env-file", "env", "--", GUNICORNS.pypi, "wsgi:app"],
      {
        cwd: dir.path,
      },
    );
    await swapped(hupwatch, socket, "p#ss");
  });
});

describe("interpreters", () => {
  /** A virtualenv with gunicorn's script as its installer writes it: what is installed is the tests' own. */
  function virtualenv(path: string, header: (python: string) => string): string {
    const made = Bun.spawnSync([`${VENV}/bin/uv`, "venv", "-q", "--relocatable", "-p", PYTHON, path], {
      env: environment("/tmp"),
    });
    if (!made.success) throw new Error(made.stderr.toString());
    const [lib = ""] = readdirSync(`${VENV}/lib`);
    writeFileSync(`${path}/lib/${lib}/site-packages/more.pth`, `${VENV}/lib/${lib}/site-packages\n`);
    const script = `${path}/bin/gunicorn`;
    writeFileSync(
      script,
      `${header(`${path}/bin/python`)}import sys\nfrom gunicorn.app.wsgiapp import run\nsys.exit(run())\n`,
    );
    chmodSync(script, 0o755);
    return script;
  }

  // https://docs.astral.sh/uv/reference/cli/#uv-venv (--relocatable), https://github.com/pypa/pip/issues/3510: a blank in the path
  test.each<[kind: string, place: string, header: (python: string) => string]>([
    [
      "relocatable",
      "rel",
      () => `#!/bin/sh\n'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python' "$0" "$@"\n' '''\n`,
    ],
    ["in a path with blanks", "my app", (python) => `#!/bin/sh\n'''exec' "${python}" "$0" "$@"\n' '''\n`],
    ["in a long path", "long", (python) => `#!/bin/sh\n'''exec' ${python} "$0" "$@"\n' '''\n`],
    ["that was moved", "moved", () => "#!/no/such/venv/bin/python\n"],
  ])("a virtualenv %s", (_, place, header) => {
    using dir = site({ "g.py": 'import sys\nbind = "unix:" + sys.prefix + ".sock"\n' });
    const script = virtualenv(`${dir.path}/${place}`, header);
    const e = explained(["--", script, "-c", "g.py", "wsgi:app"], dir.path);
    expect(binds(e)).toEqual([`unix:${dir.path}/${place}.sock`]);
  });

  test("the runner's own: uv run, which stays in front and passes the listeners on", async () => {
    using dir = site({ "gunicorn.conf.py": 'bind = "unix:r.sock"\nworkers = 1\n' });
    virtualenv(`${dir.path}/.venv`, (python) => `#!${python}\n`);
    const env = { ...environment(dir.path), PATH: `${VENV}/bin:/usr/bin:/bin` };
    // "uv run gunicorn -b unix: ... after 60 s: error: generation 1 not ready": LISTEN_PID was uv's
    await using hupwatch = await startHupwatch(["-k", "-w", "0", "--", "uv", "run", "gunicorn", "wsgi:app"], {
      cwd: dir.path,
      env,
    });
    await swapped(hupwatch, `${dir.path}/r.sock`);
  });

  test("behind tini, LISTEN_PID is the server's own", async () => {
    using dir = site();
    const words = ["tini", "-s", "--", GUNICORNS.debian, "wsgi:app", "-b", "unix:t.sock"];
    await using hupwatch = await startHupwatch(["-k", "-w", "0", "--", ...words], { cwd: dir.path });
    await swapped(hupwatch, `${dir.path}/t.sock`);
  });

  test("a script whose Python nobody can tell is refused with the way out", () => {
    using dir = site({ gunicorn: "#!/no/such/python\n", "gunicorn.conf.py": "" });
    chmodSync(`${dir.path}/gunicorn`, 0o755);
    const { code, err } = run(["--", "./gunicorn", "wsgi:app"], dir.path);
    expect(err).toContain("cannot tell which Python runs");
    expect(err).toContain("To fix: write it before the program: /path/to/python -m gunicorn ...");
    expect(code).toBe(125);
  });

  // "starts all the same, and loses at each HUP"
  test("hypercorn that cannot be asked does not start without its listeners, unless its own binds are seen", () => {
    using dir = site({ "hc.toml": "bind = [\n" });
    const hypercorn = ["--", `${SERVERS_VENV}/bin/hypercorn`, "-c", "hc.toml", "asgi:app"];
    expect(explained(hypercorn, dir.path).handover).toBe("intercept");
    const words = ["--handover", "systemd", ...hypercorn];
    const { code, err } = run(words, dir.path);
    expect(err).toContain("the binds of hc.toml are not known, since hypercorn could not be run");
    expect(err).toContain("To fix: give each address to hupwatch with --bind");
    expect(code).toBe(125);
    expect(run(["explain", ...words], dir.path)).toMatchObject({ code: 2, err });
    expect(binds(explained(["-b", ":81", ...words], dir.path))).toEqual([":81"]);
  });
});

describe("a program of the user is run after the lock, and never by explain", () => {
  const CONFIG = 'import os, shutil\nopen("ran", "a").write("x")\nbind = "unix:c.sock"\n';

  // "a second `hupwatch -- gunicorn wsgi:app` while the first lives (refused) runs the file, too"
  test("a start that is refused runs nothing", async () => {
    using dir = site({ "gunicorn.conf.py": CONFIG });
    const words = ["--name", "once", "--run-dir", `${dir.path}/run`, "--", GUNICORNS.debian, "wsgi:app"];
    mkdirSync(`${dir.path}/run`, { mode: 0o700 });
    await using _hupwatch = await startHupwatch(["-k", ...words], { cwd: dir.path });
    const before = readFileSync(`${dir.path}/ran`, "utf8");
    expect(run(words, dir.path).err).toContain("is already running as process");
    expect(run(["--stop-signal", "NO", ...words], dir.path).err).toContain("NO");
    expect(readFileSync(`${dir.path}/ran`, "utf8")).toBe(before);
  });

  // "`prom` is empty afterwards: the serving generation's metrics are wiped", by `explain`, which "starts nothing"
  test("explain wipes and writes nothing, and says what it ran", () => {
    const wiping = `import os, shutil\nd = os.environ["PROMETHEUS_MULTIPROC_DIR"]\nshutil.rmtree(d, ignore_errors=True)\nos.makedirs(d, exist_ok=True)\nbind = "unix:c.sock"\n`;
    using dir = site({ "gunicorn.conf.py": wiping, "prom/counter_1.db": "1" });
    const e = explained(["--", GUNICORNS.debian, "wsgi:app"], dir.path, { PROMETHEUS_MULTIPROC_DIR: "prom" });
    expect(readdirSync(`${dir.path}/prom`)).toEqual(["counter_1.db"]);
    expect(binds(e)).toEqual([`unix:${dir.path}/c.sock`]);
    expect(e.ran).toBe("gunicorn was run to print its configuration");
  });

  test("what a config file creates while it is read is removed again", async () => {
    const making = `import os\nd = os.environ["PROMETHEUS_MULTIPROC_DIR"]\nos.makedirs(d, exist_ok=True)\nopen(d + "/counter_1.db", "w")\nbind = "unix:c.sock"\n`;
    using dir = site({ "gunicorn.conf.py": making });
    await using _hupwatch = await startHupwatch(["-k", "--", GUNICORNS.debian, "wsgi:app"], {
      cwd: dir.path,
      env: { PROMETHEUS_MULTIPROC_DIR: `${dir.path}/prom/{gen}` },
    });
    expect(readdirSync(`${dir.path}/prom`)).toEqual(["1"]);
  });

  test("where a config file insists on writing, explain says that it does not know", () => {
    using dir = site({ "gunicorn.conf.py": CONFIG });
    const e = explained(["--", GUNICORNS.debian, "wsgi:app"], dir.path);
    expect(existsSync(`${dir.path}/ran`)).toBe(false);
    expect(e.warnings.join()).toMatch(
      /gunicorn's configuration is not known here, since explain may write nothing \(PermissionError: .*\): a start runs it/,
    );
  });

  test("values of the env file are not shown, names are", () => {
    using dir = site({ env: "DB_PASSWORD=hunter2\n" });
    const { out } = run(["explain", "--env-file", "env", "--", GUNICORNS.debian, "wsgi:app"], dir.path);
    expect(out).toContain("+ DB_PASSWORD=<from --env-file>");
    expect(out).not.toContain("hunter2");
    expect(run(["explain", "--json", "--env-file", "env", "--", "true"], dir.path).out).not.toContain(
      "hunter2",
    );
  });
});

test("a free port of the env file is served, not the server's default", async () => {
  using dir = site();
  const port = await freePort();
  writeFileSync(`${dir.path}/env`, `PORT=${port}\n`);
  await using _hupwatch = await startHupwatch(
    ["-k", "--env-file", "env", "--", GUNICORNS.debian, "wsgi:app"],
    {
      cwd: dir.path,
    },
  );
  const curl = Bun.spawn(["curl", "-sS", "-m", "50", `http://127.0.0.1:${port}/`], { stderr: "inherit" });
  expect(await curl.stdout.text()).toBe("1 ");
});
