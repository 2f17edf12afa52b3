/** The same clients get in as without hupwatch: each server is asked over IPv4 and IPv6, plain and below hupwatch. */
import { expect, test } from "bun:test";
import { chmodSync, cpSync, existsSync, writeFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { startPlain } from "../harness/plain.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS, ROOT } from "../setup/places.ts";
import { newest } from "../setup/server-row.ts";

/** A name with an address of each family, as a stock Debian has it; the file is put over /etc/hosts in a namespace. */
const HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";
const CAN_UNSHARE = Bun.spawnSync(["unshare", "-m", "true"], { stderr: "ignore" }).success;
const HAS_IPV6 = existsSync("/proc/net/if_inet6");

const UWSGI = ["/usr/bin/uwsgi", "--plugin", "python3", "--master", "--wsgi-file", "wsgi.py"];
const UNICORN = ["/usr/bin/unicorn", "config.ru"];
const PUMA = ["/usr/bin/puma", "config.ru"];
const uvicorn = (...words: string[]) => [newest("uvicorn"), "asgi:application", ...words];
const waitress = (...words: string[]) => [newest("waitress-serve"), ...words, "wsgi:application"];
const hypercorn = (...words: string[]) => [newest("hypercorn"), "asgi:application", ...words];
const daphne = (...words: string[]) => [newest("daphne"), ...words, "asgi:application"];
const gunicorn = (...words: string[]) => [GUNICORNS.pypi, "wsgi:application", ...words];

/** `PORT` stands for a free one. The second is what was measured: the families that answer. */
const ROWS: [words: string[], families: string][] = [
  [uvicorn("--host", "", "--port", "PORT"), "4 6"],
  [uvicorn("--host", "localhost", "--port", "PORT"), "4 6"],
  [uvicorn("--host", "::", "--port", "PORT"), "6"],
  [uvicorn("--host", "::", "--port", "PORT", "--workers", "2"), "4 6"],
  [uvicorn("--host", "localhost", "--port", "PORT", "--workers", "2"), "4"],
  [waitress("--listen=*:PORT"), "4 6"],
  [waitress("--listen=localhost:PORT"), "4 6"],
  [waitress("--listen=[::]:PORT"), "6"],
  [waitress("--host=*", "--port=PORT", "--no-ipv4"), "6"],
  [[newest("cheroot"), "wsgi:application", "--bind", "localhost:PORT"], "6"],
  [[newest("cheroot"), "wsgi:application", "--bind", "[::]:PORT"], "4 6"],
  [[...PUMA, "-b", "tcp://localhost:PORT"], "4 6"],
  [[...PUMA, "-b", "tcp://[::]:PORT"], "4 6"],
  [[...PUMA, "-p", "PORT"], "4"],
  [[...UNICORN, "-l", "localhost:PORT"], "6"],
  [[...UNICORN, "-l", "[::]:PORT"], "4 6"],
  [[...UNICORN, "-o", "", "-p", "PORT"], "4"],
  [hypercorn("-b", "[::]:PORT"), "4 6"],
  [hypercorn("-b", "::1:PORT"), "6"],
  [hypercorn("-b", "localhost:PORT"), "4"],
  [daphne("-b", "::", "-p", "PORT"), "4 6"],
  [daphne("-b", "", "-p", "PORT"), "4"],
  [gunicorn("-b", "[::]:PORT"), "4 6"],
  [gunicorn("-b", "localhost:PORT"), "4"],
  [[...UWSGI, "--http-socket", "localhost:PORT"], "4"],
  [[...UWSGI, "--http-socket", "[::]:PORT"], "4 6"],
];

/** It does not matter what it answers, only that it does. */
async function answers(host: string, port: number): Promise<boolean> {
  try {
    // A port where nobody listens refuses at once; a server on a machine that does much else takes its time.
    await fetch(`http://${host}:${port}/`, { signal: AbortSignal.timeout(30_000) });
    return true;
  } catch {
    return false;
  }
}

async function answering(port: number): Promise<string> {
  const [v4, v6] = await Promise.all([answers("127.0.0.1", port), answers("[::1]", port)]);
  return [v4 ? ["4"] : [], v6 ? ["6"] : []].flat().join(" ");
}

/** Every server here listens at all of its addresses before it answers at one. It may begin to listen between the two questions, so an answer is asked for again. */
async function familiesAt(port: number): Promise<string> {
  await until(() => answering(port), { everyMs: 50, what: `an answer at port ${port}` });
  return await answering(port);
}

// https://github.com/fedora-infra/bodhi/pull/5659, https://github.com/Pylons/waitress/issues/66
for (const [words, families] of ROWS) {
  const [program = ""] = words;
  const canRun = CAN_UNSHARE && HAS_IPV6 && existsSync(program);
  test.skipIf(!canRun).concurrent(
    `${words.map((word) => word.replace(/^.*\//, "") || "''").join(" ")}: ${families} (needs unshare, IPv6 and ${program})`,
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      for (const app of ["wsgi.py", "asgi.py", "config.ru"])
        cpSync(`${ROOT}/fixtures/apps/${app}`, `${dir.path}/${app}`);
      writeFileSync(`${dir.path}/VERSION`, "1\n");
      writeFileSync(`${dir.path}/hosts`, HOSTS);
      const inNamespace = (words: string) =>
        `#!/bin/sh\nexec unshare -m sh -c 'mount --bind ${dir.path}/hosts /etc/hosts && exec ${words} "$@"' sh "$@"\n`;
      const [launcher, alone] = [`${dir.path}/launcher`, `${dir.path}/alone`];
      writeFileSync(launcher, inNamespace(LAUNCHER));
      writeFileSync(alone, inNamespace(""));
      for (const script of [launcher, alone]) chmodSync(script, 0o755);
      const port = await freePort();
      const command = words.map((word) => word.replace("PORT", String(port)));
      const env = { PYTHONPATH: dir.path, PYTHONDONTWRITEBYTECODE: "1" };
      const plain = await (async () => {
        await using _plain = startPlain([alone, ...command], { cwd: dir.path, env });
        return await familiesAt(port);
      })();
      await using _hupwatch = await startHupwatch(["-k", "--", ...command], {
        ...{ cwd: dir.path, env, launcher },
      });
      const below = await familiesAt(port);
      expect({ plain, below }).toEqual({ plain: families, below: families });
    },
    TURN_TIMEOUT_MS,
  );
}
