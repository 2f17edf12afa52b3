/** The production image by itself: what was built is in it, not root, healthy by its own HEALTHCHECK, ended by `docker stop`. */
import { until } from "../../test/harness/until.ts";
import { docker, run } from "./command.ts";
import { LABEL } from "./container.ts";
import type { Extra } from "./grid.ts";
import { imageOf } from "./images.ts";

const NAME = "the gunicorn image";

export async function tryHealth(): Promise<Extra> {
  const id = `hupwatch-rig-${crypto.randomUUID().slice(0, 8)}`;
  try {
    await docker(["run", "--detach", "--name", id, "--label", LABEL, imageOf("gunicorn")]);
    const health = ["inspect", "--format", "{{.State.Health.Status}}", id];
    await until(async () => (await docker(health)).trim() === "healthy", {
      what: "the container to be healthy",
      timeoutMs: 60_000,
      everyMs: 500,
    });
    const user = (await docker(["exec", id, "id", "-u"])).trim();
    if (user === "0") throw new Error("it runs as root");
    // Throws where a sum differs.
    const sums = [
      "exec",
      "--workdir",
      "/usr/local/lib/hupwatch",
      id,
      "sha256sum",
      "--check",
      "--strict",
      "SHA256SUMS",
    ];
    await docker(sums);
    await docker(["stop", "--time", "30", id], { timeoutMs: 60_000 });
    const code = (await docker(["inspect", "--format", "{{.State.ExitCode}}", id])).trim();
    if (code !== "0") throw new Error(`exit code ${code} after docker stop`);
    return {
      name: NAME,
      outcome: {
        kind: "green",
        said: `user ${user}, checksums right, healthy, exit code 0 after docker stop`,
      },
    };
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    return { name: NAME, outcome: { kind: "red", faults: [fault] } };
  } finally {
    await run(["docker", "rm", "--force", id]);
  }
}
