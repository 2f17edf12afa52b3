/** What the tests of the reports need from the system. */
import { join } from "node:path";

export const TINY = join(import.meta.dir, "../../fixtures/apps/tiny.ts");

/** Undefined where there is none. */
export const chromium = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? undefined;

const READER = `
import json, sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
count = lambda name: len(root.findall('.//' + name))
print(json.dumps({'root': root.tag, 'cases': count('testcase'), 'failures': count('failure')}))
`;

/** What a real XML parser (Python's expat) makes of it; rejects where it is not well-formed. */
export async function wellFormed(xml: string): Promise<unknown> {
  const reader = Bun.spawn(["python3", "-c", READER], {
    stdin: Buffer.from(xml),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([reader.stdout.text(), reader.stderr.text()]);
  if ((await reader.exited) !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}
