/** A system call of a running hupwatch that the kernel refuses once: by strace(1), in its main thread alone. */
import { readFileSync } from "node:fs";
import { tempDir } from "./temp-dir.ts";

export const hasStrace = process.getuid?.() === 0 && Bun.which("strace") !== null;

/** `while` runs meanwhile. True where the call was made. */
export async function refuseOnce(
  pid: number,
  call: string,
  errno: string,
  meanwhile: () => Promise<unknown>,
): Promise<boolean> {
  using dir = tempDir();
  const trace = `${dir.path}/trace`;
  const inject = `inject=${call}:error=${errno}:when=1`;
  const words = ["-p", `${pid}`, "-o", trace, "-e", `trace=${call}`, "-e", inject];
  const strace = Bun.spawn(["strace", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  try {
    const reader = strace.stderr.getReader();
    const { value } = await reader.read(); // "strace: Process N attached"
    const said = new TextDecoder().decode(value);
    if (!said.includes("attached")) throw new Error(said);
    reader.releaseLock();
    await meanwhile();
  } finally {
    strace.kill("SIGINT");
    await strace.exited;
  }
  return readFileSync(trace, "utf8").includes("(INJECTED)");
}
