/** A terminal that goes away, and what a person at one is told. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { LAUNCHER, spawnHupwatch } from "../harness/hupwatch.ts";
import { processTree } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS, PYTHON, ROOT } from "../setup/places.ts";

/** Prints a line for each request: with a hung-up terminal for its stdout, that print fails the request. */
const PRINTING = `
import os
def app(environ, start):
    print("request", flush=True)
    start("200 OK", [("Content-Type", "text/plain")])
    return [os.environ["HUPWATCH_GENERATION"].encode()]
`;

/** Gone, or a zombie that the window has not waited for. */
const isOver = (pid: number) => !processTree(pid).some((entry) => entry.pid === pid && entry.state !== "Z");

async function windowOf(dir: string, options: string[]) {
  await Bun.write(`${dir}/printing.py`, PRINTING);
  const command = [GUNICORNS.debian, "printing:app", "--bind", `unix:${dir}/app.sock`];
  const words = [
    LAUNCHER,
    "--name",
    "window",
    "-w",
    "0",
    "--pidfile",
    `${dir}/pid`,
    ...options,
    "--",
    ...command,
  ];
  const window_ = Bun.spawn([PYTHON, `${ROOT}/fixtures/launchers/window.py`, ...words], {
    cwd: dir,
    env: { ...process.env, HUPWATCH_BUN: process.execPath, XDG_RUNTIME_DIR: dir, PWD: dir },
    stdio: ["pipe", "ignore", "ignore"],
  });
  const ask = async () => {
    try {
      const answer = await fetch("http://app/", { unix: `${dir}/app.sock`, keepalive: false });
      return answer.ok ? await answer.text() : `status ${answer.status}`;
    } catch (error) {
      return String((error as { code?: string }).code);
    }
  };
  await until(async () => (await ask()) === "1", { what: "generation 1" });
  const hupwatch = Number(readFileSync(`${dir}/pid`, "utf8"));
  return {
    hupwatch,
    ask,
    close: () => {
      window_.stdin.write("close\n");
      window_.stdin.flush();
    },
    [Symbol.asyncDispose]: async () => {
      const members = [...processTree(window_.pid), ...processTree(hupwatch)];
      window_.stdin.end();
      for (const { pid } of members) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // gone already
        }
      }
      await window_.exited;
    },
  };
}

// The SSH window is closed: https://github.com/benoitc/gunicorn/issues/594
test("a closed window is no deploy: the service goes on, with an output that works", async () => {
  using dir = tempDir();
  await using window = await windowOf(dir.path, []);
  window.close();
  await until(async () => (await window.ask()) === "2", { what: "a generation that can print" });
  expect(await window.ask()).toBe("2");
});

test("with -k a closed window ends the service, as it ends everything else in it", async () => {
  using dir = tempDir();
  await using window = await windowOf(dir.path, ["-k"]);
  window.close();
  await until(() => isOver(window.hupwatch), { what: "hupwatch's end" });
  expect(await window.ask()).not.toMatch(/^\d+$/);
});

// Ctrl-C leaves the server behind: https://github.com/cloudflare/tableflip/issues/59
test("with -q, too, the log says what lives on after hupwatch's end", async () => {
  using dir = tempDir();
  const hook = ["--hook", `ready=touch '${dir.path}/serves'`];
  await using hupwatch = spawnHupwatch(["-q", "-w", "0", ...hook, "--", "sleep", "1000"]);
  await until(() => existsSync(`${dir.path}/serves`), { what: "generation 1" });
  process.kill(hupwatch.pid, "SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  expect(hupwatch.log).toMatch(/left generation 1 running \(pid \d+\)/);
});
