/** What may be in the published package, and what must. */
import { expect, test } from "bun:test";
import { contentFaults } from "../../docker/release/package.ts";

const packed = (...paths: string[]) => ({
  filename: "hupwatch-0.1.0.tgz",
  size: 1,
  unpackedSize: 2,
  files: paths.map((path) => ({ path })),
});
const NEEDED = [
  "package.json",
  "README.md",
  "LICENSE",
  "dist/js/hupwatch",
  "dist/js/main.cjs",
  "dist/js/load.cjs",
  "dist/js/exec.cjs",
  "dist/js/keep.cjs",
  "dist/js/relay.cjs",
  "dist/js/take.cjs",
  "dist/js/try.cjs",
  "dist/js/demo.js",
  "dist/js/LICENSES.txt",
];

test("the program, its documents and the demo", () => {
  expect(
    contentFaults(packed(...NEEDED, "CHANGELOG.md", "fixtures/apps/tiny.ts", "fixtures/fleet/README.md")),
  ).toEqual([]);
});

test.each([
  "test/run.ts",
  "docker/rig/rig.ts",
  "src/main.ts",
  "src/launcher.sh",
  "fixtures/apps/asgi.py",
  "fixtures/children/ignores-term.ts",
  "dist/hupwatch.bin",
])("never %s", (path) => {
  expect(contentFaults(packed(...NEEDED, path))).toEqual([`${path} is in the package`]);
});

test("never without its license", () => {
  const rest = NEEDED.filter((path) => path !== "LICENSE");
  expect(contentFaults(packed(...rest))).toEqual(["LICENSE is not in the package"]);
});
