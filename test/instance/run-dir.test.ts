/** The private directory of runtime files, and the lock that only a living hupwatch holds. */
import { describe, expect, test } from "bun:test";
import { chownSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { chooseRunDir, InstanceLock, openRunDir } from "../../src/instance/run-dir.ts";
import { startScript } from "../harness/scripts.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";

const UID = process.getuid?.() ?? 0;

test.each([
  [undefined, { XDG_RUNTIME_DIR: "/run/user/7" }, 7, { path: "/run/user/7/hupwatch", isRequested: false }],
  [undefined, {}, 0, { path: "/run/hupwatch", isRequested: false }],
  [undefined, {}, 7, { path: "/tmp/hupwatch-7", isRequested: false }],
  [undefined, { XDG_RUNTIME_DIR: "relative" }, 7, { path: "/tmp/hupwatch-7", isRequested: false }],
  ["/x", { XDG_RUNTIME_DIR: "/run/user/7" }, 7, { path: "/x", isRequested: true }],
])("asked for %p in %j as user %d: %j", (asked, env, uid, chosen) => {
  expect(chooseRunDir(asked, env, uid)).toEqual(chosen);
});

function makeBeside(path: string): string {
  mkdirSync(`${path}-real`, { mode: 0o700 });
  return `${path}-real`;
}

describe("the directory", () => {
  test("is made for us alone, and used again", () => {
    using dir = tempDir();
    const path = `${dir.path}/a/b`;
    for (let i = 0; i < 2; i++) openRunDir({ path, isRequested: true }, UID);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  const rows: [what: string, make: (path: string) => void, message: string, hint: string][] = [
    ["open to others", (path) => mkdirSync(path, { mode: 0o750 }), "is open to others", "chmod 700"],
    ["a file", (path) => writeFileSync(path, ""), "", "--run-dir"],
    ["a symlink", (path) => symlinkSync(makeBeside(path), path), "", "--run-dir"],
  ];
  test.each(rows)("%s is refused", (_, make, message, hint) => {
    using dir = tempDir();
    make(`${dir.path}/run`);
    const error = thrownBy(() => openRunDir({ path: `${dir.path}/run`, isRequested: true }, UID));
    expect(error.message).toContain(`${dir.path}/run`);
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  });

  test.skipIf(UID !== 0)("of another user is refused: /tmp is every user's", () => {
    using dir = tempDir();
    mkdirSync(`${dir.path}/run`, { mode: 0o700 });
    chownSync(`${dir.path}/run`, 65534, 65534);
    expect(thrownBy(() => openRunDir({ path: `${dir.path}/run`, isRequested: true }, UID)).message).toContain(
      "belongs to user 65534",
    );
  });
});

describe("the lock of an instance", () => {
  test("is had once; the second start is told by which process", () => {
    using dir = tempDir();
    {
      using _first = InstanceLock.take(dir.path, "web", 42);
      const error = thrownBy(() => InstanceLock.take(dir.path, "web", 43));
      expect(error).toMatchObject({ code: "instance.running", exitCode: 125 });
      expect(error.message).toBe("hupwatch 'web' is already running as process 42");
      expect(error.hint).toContain("kill -HUP 42");
      expect(readFileSync(`${dir.path}/web.lock`, "utf8")).toBe("42\n");
      using _other = InstanceLock.take(dir.path, "other", 43);
    }
    using _again = InstanceLock.take(dir.path, "web", 44);
    expect(readFileSync(`${dir.path}/web.lock`, "utf8")).toBe("44\n");
  });

  test("goes with its process, however that ends", async () => {
    using dir = tempDir();
    const holder = startScript(`
      const { InstanceLock } = await import("./src/instance/run-dir.ts");
      globalThis.lock = InstanceLock.take("${dir.path}", "web", process.pid);
      console.log("pid", process.pid);
      setInterval(() => {}, 1000);`);
    const [, pid] = await until(() => /pid (\d+)/.exec(holder.output), { what: "the lock to be held" });
    expect(() => InstanceLock.take(dir.path, "web", 43)).toThrow(`process ${pid}`);
    process.kill(Number(pid), "SIGKILL");
    await holder.end();
    using _mine = InstanceLock.take(dir.path, "web", 43);
  });

  test("is no symlink: nobody gets a file of ours written through one", () => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/precious`, "precious");
    symlinkSync("precious", `${dir.path}/web.lock`);
    expect(thrownBy(() => InstanceLock.take(dir.path, "web", 42))).toMatchObject({
      code: "run-dir.unusable",
    });
    expect(readFileSync(`${dir.path}/precious`, "utf8")).toBe("precious");
  });
});
