/**
 * `bun run build`: dist/hupwatch.bin, hupwatch and its runtime in one executable that needs no Bun and no node_modules,
 * and dist/hupwatch, the launcher that starts it: an early HUP must be ignored before the first instruction of any
 * runtime. The two belong into one directory; a link to the launcher may be anywhere.
 */
import { mkdirSync, rmSync, statSync } from "node:fs";
import { ROOT } from "../rig/places.ts";
import { writeExecutableLauncher } from "./launcher.ts";

const DIST = `${ROOT}/dist`;
const FILES = ["hupwatch", "hupwatch.bin"];
const SUMS = "SHA256SUMS";

export async function build(): Promise<void> {
  // dist/js is that of a pack which may be under way.
  for (const name of [...FILES, SUMS]) rmSync(`${DIST}/${name}`, { force: true });
  mkdirSync(DIST, { recursive: true });
  // An application's directory must not decide what runs: its .env and bunfig.toml are not read.
  const app = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  // Bytecode halves a start, and parts that are not needed cost no memory.
  const flags = [...app, "--bytecode", "--format=esm", "--splitting"];
  const words = [process.execPath, "build", "--compile", ...flags, "src/main.ts"];
  const done = Bun.spawnSync([...words, "--outfile", `${DIST}/hupwatch.bin`], { cwd: ROOT });
  if (!done.success) throw new Error(`${words.join(" ")}\n${done.stderr}`);
  writeExecutableLauncher(`${DIST}/hupwatch`);
  const sums = await Promise.all(FILES.map(checksum));
  await Bun.write(`${DIST}/${SUMS}`, sums.join(""));
}

/** A line as sha256sum(1) writes and checks it. */
async function checksum(name: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256").update(await Bun.file(`${DIST}/${name}`).arrayBuffer());
  return `${hash.digest("hex")}  ${name}\n`;
}

if (import.meta.main) {
  await build();
  console.log(`dist/hupwatch.bin: ${Math.round(statSync(`${DIST}/hupwatch.bin`).size / 1e6)} MB`);
}
