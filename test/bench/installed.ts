/** hupwatch as its users have it, for the measures: what is measured must not be a clone's sources. */
import { build } from "../../docker/release/build.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { ROOT } from "../setup/places.ts";

export const FORMS = ["package", "executable", "sources"] as const;
export type Form = (typeof FORMS)[number];

export interface Installed extends Disposable {
  launcher: string;
}

export async function install(form: Form): Promise<Installed> {
  if (form === "sources") return { launcher: `${ROOT}/src/launcher.sh`, [Symbol.dispose]() {} };
  if (form === "executable") {
    await build();
    return { launcher: `${ROOT}/dist/hupwatch`, [Symbol.dispose]() {} };
  }
  const dir = tempDir();
  const packed = `${dir.path}/hupwatch.tgz`;
  succeed([process.execPath, "pm", "pack", "--quiet", "--filename", packed]);
  succeed(["tar", "-xzf", packed, "-C", dir.path]);
  return { launcher: `${dir.path}/package/dist/js/hupwatch`, [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

function succeed(words: string[]): void {
  const { success, stderr } = Bun.spawnSync(words, { cwd: ROOT, stdout: "ignore" });
  if (!success) throw new Error(`${words.join(" ")}\n${stderr}`);
}
