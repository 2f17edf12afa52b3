/** The manifests, without a cluster: as Kubernetes' schemas want them, and what their containers run, as processes of this machine. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { processTree } from "../harness/processes.ts";
import { tempDir, until } from "../harness/until.ts";
import { KUBERNETES_VALIDATE, ROOT } from "../setup/places.ts";

const MANIFEST = `${ROOT}/fixtures/fleet/kubernetes/app.yaml`;
const validate = (...files: string[]) => Bun.spawnSync([KUBERNETES_VALIDATE, "--strict", ...files]);
const isThere = existsSync(KUBERNETES_VALIDATE);

test.skipIf(!isThere)(
  `the manifests are as Kubernetes' schemas want them${isThere ? "" : ": kubernetes-validate is not installed"}`,
  () => {
    using dir = tempDir();
    const good = validate(MANIFEST, `${ROOT}/fixtures/supervisors/kubernetes.yaml`);
    expect(`${good.stdout}${good.stderr}`).toContain("deployment/app");
    expect(good.exitCode).toBe(0);
    // And it can say no.
    writeFileSync(`${dir.path}/bad.yaml`, readFileSync(MANIFEST, "utf8").replace("maxSurge", "maxSurges"));
    expect(validate(`${dir.path}/bad.yaml`).exitCode).not.toBe(0);
  },
);

interface Container {
  name: string;
  command: string[];
  args: string[];
}

/** The container's words, with its places where they are here. */
function wordsOf(name: string, place: string): string[] {
  const [deployment] = Bun.YAML.parse(readFileSync(MANIFEST, "utf8")) as [
    { spec: { template: { spec: { containers: Container[] } } } },
  ];
  const found = deployment.spec.template.spec.containers.find((container) => container.name === name);
  if (!found) throw new Error(`no container ${name}`);
  const here = (word: string) =>
    word.replaceAll("/etc/app", `${place}/config`).replaceAll("/run/pod", `${place}/run`);
  return [...found.command, ...found.args].map((word) =>
    here(word).replace("0.0.0.0:8000", `unix:${place}/app.sock`),
  );
}

/** As the kubelet does: all files are below a directory that one link leads to, and the link is renamed. */
function configure(config: string, revision: string, workers: number): void {
  mkdirSync(`${config}/..${revision}`, { recursive: true });
  writeFileSync(`${config}/..${revision}/gunicorn.py`, `workers = ${workers}\n`);
  symlinkSync(`..${revision}`, `${config}/..data_tmp`);
  renameSync(`${config}/..data_tmp`, `${config}/..data`);
}

test("a changed ConfigMap is one reload, by the reloader beside hupwatch", async () => {
  using dir = tempDir();
  const { path } = dir;
  const config = `${path}/config`;
  configure(config, "1", 1);
  symlinkSync("..data/gunicorn.py", `${config}/gunicorn.py`);
  mkdirSync(`${path}/run`);
  mkdirSync(`${path}/bin`);
  symlinkSync(LAUNCHER, `${path}/bin/hupwatch`);
  writeFileSync(`${path}/wsgi.py`, readFileSync(`${ROOT}/fixtures/apps/wsgi.py`));
  const [, ...words] = wordsOf("app", path);
  await using hupwatch = await startHupwatch(words, { cwd: path });
  await hupwatch.until(LOG.serves(1));
  const env = { ...process.env, PATH: `${path}/bin:${process.env.PATH}`, HUPWATCH_BUN: process.execPath };
  const reloader = Bun.spawn(wordsOf("reloader", path), { env, stdio: ["ignore", "pipe", "inherit"] });
  try {
    // It has read which revision is there.
    const isWaiting = () => processTree(reloader.pid).some(({ command }) => command.startsWith("sleep"));
    await until(isWaiting, { what: "the reloader to wait for a change" });
    configure(config, "2", 3);
    await hupwatch.until(LOG.gone(1));
    const said = reloader.stdout.getReader();
    const { value } = await said.read();
    expect(new TextDecoder().decode(value)).toContain("generation 2 serves");
    await until(() => hupwatch.count(/Booting worker/) === 4, { what: "three workers more" });
    expect(hupwatch.log).not.toContain("generation 3");
  } finally {
    reloader.kill("SIGTERM");
    await reloader.exited;
  }
});
