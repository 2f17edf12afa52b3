/** compose.yml as a user copies it: load through nginx while gunicorn in the other container is replaced. */
import { freePort } from "../../test/harness/free-port.ts";
import { tempDir } from "../../test/harness/temp-dir.ts";
import { until } from "../../test/harness/until.ts";
import { must, run } from "./command.ts";
import type { Extra } from "./grid.ts";
import { imageOf } from "./images.ts";
import { ROOT } from "./places.ts";

const NAME = "docker compose, nginx before gunicorn";
const PROJECT = "hupwatch-rig-compose";

export async function tryCompose(): Promise<Extra> {
  const compose = await composeWords();
  if (!compose)
    return {
      name: NAME,
      outcome: { kind: "skipped", why: "neither docker compose nor docker-compose is here" },
    };
  try {
    return { name: NAME, outcome: { kind: "green", said: await up(compose) } };
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    return { name: NAME, outcome: { kind: "red", faults: [fault] } };
  }
}

async function composeWords(): Promise<string[] | undefined> {
  for (const words of [["docker", "compose"], ["docker-compose"]])
    if (Bun.which(words[0] ?? "") && (await run([...words, "version"])).code === 0) return words;
  return undefined;
}

async function up(words: string[]): Promise<string> {
  using dir = tempDir();
  // The file itself, but with the images that are built already.
  const services = { app: { image: imageOf("gunicorn") }, nginx: { image: imageOf("nginx") } };
  await Bun.write(`${dir.path}/images.json`, JSON.stringify({ services }));
  const files = ["--file", `${ROOT}/docker/compose.yml`, "--file", `${dir.path}/images.json`];
  const env = { PORT: String(await freePort()) };
  const compose = (...rest: string[]) =>
    must([...words, "--project-name", PROJECT, ...files, ...rest], { timeoutMs: 120_000, env });
  const says = (line: RegExp) =>
    until(async () => line.test(await compose("logs", "--no-color", "app")), {
      what: String(line),
      timeoutMs: 60_000,
      everyMs: 500,
    });
  try {
    await compose("up", "--detach", "--no-build");
    await says(/generation 1 serves/);
    const network = ["--network", `${PROJECT}_default`, "--entrypoint", "hupwatch", imageOf("hupwatch")];
    const options = ["--json", "--quiet", "--mode", "keepalive", "--rate", "150", "--duration", "12s"];
    const loading = run(["docker", "run", "--rm", ...network, "load", ...options, "http://nginx/"], {
      timeoutMs: 120_000,
    });
    await Bun.sleep(3000);
    await compose("exec", "-T", "app", "sh", "-c", "echo 2 > VERSION");
    await compose("kill", "-s", "HUP", "app");
    await says(/generation 1 gone/);
    const { code, stdout, stderr } = await loading;
    if (code !== 0) throw new Error(`the load failed, code ${code}: ${stderr}${stdout.slice(0, 2000)}`);
    const { started, versions } = JSON.parse(stdout) as { started: number; versions: { version: string }[] };
    const seen = versions.map(({ version }) => version).join(", ");
    if (seen !== "1, 2") throw new Error(`versions ${seen} answered, not 1, 2`);
    return `${started} requests through nginx, 1 swap, 0 dropped`;
  } finally {
    await compose("down", "--volumes", "--timeout", "20").catch(() => {});
  }
}
