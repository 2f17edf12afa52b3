/** The manifests, without a cluster: as Kubernetes' schemas want them, and what their container runs, as a process of this machine. */
import { expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
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

interface Deployment {
  spec: { template: { spec: { containers: { command: string[]; args: string[] }[] } } };
}

/** The container's words, with its places where they are here. */
function wordsOf(place: string): string[] {
  const [deployment] = Bun.YAML.parse(readFileSync(MANIFEST, "utf8")) as [Deployment];
  const { command = [], args = [] } = deployment.spec.template.spec.containers[0] ?? {};
  const here = (word: string) => word.replace("/etc/app", `${place}/config`);
  return [...command, ...args].map((word) => here(word).replace("0.0.0.0:8000", `unix:${place}/app.sock`));
}

/** As the kubelet does: all files are below a directory that one link leads to, and the link is renamed. */
function configure(config: string, revision: string, workers: number): void {
  mkdirSync(`${config}/..${revision}`, { recursive: true });
  writeFileSync(`${config}/..${revision}/gunicorn.py`, `workers = ${workers}\n`);
  symlinkSync(`..${revision}`, `${config}/..data_tmp`);
  renameSync(`${config}/..data_tmp`, `${config}/..data`);
}

test("a changed ConfigMap is one reload", async () => {
  using dir = tempDir();
  const { path } = dir;
  const config = `${path}/config`;
  configure(config, "1", 1);
  symlinkSync("..data/gunicorn.py", `${config}/gunicorn.py`);
  copyFileSync(`${ROOT}/fixtures/apps/wsgi.py`, `${path}/wsgi.py`);
  const [program, ...words] = wordsOf(path);
  expect(program).toBe("hupwatch");
  await using hupwatch = await startHupwatch(words, { cwd: path });
  configure(config, "2", 3);
  await hupwatch.until(LOG.gone(1));
  await until(() => hupwatch.count(/Booting worker/) === 4, { what: "three workers more" });
  expect(hupwatch.log).not.toContain("generation 3");
});
