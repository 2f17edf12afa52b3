/** A directory of a test's own, which goes with its owner. */
import { mkdtempSync, rmSync } from "node:fs";

export interface TempDir extends Disposable {
  path: string;
}

/** Right below /tmp whatever $TMPDIR says: the path of a Unix socket may have 107 bytes and no more. */
export function tempDir(): TempDir {
  const path = mkdtempSync("/tmp/hw-");
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
