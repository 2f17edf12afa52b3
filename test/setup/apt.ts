/**
 * The one way in which tests and rig install packages of Debian and Ubuntu: for root alone, and so that no daemon runs
 * because it was installed, neither now nor after the next boot. A web server would take port 80 of a machine that only tests.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

/** What invoke-rc.d(8) and deb-systemd-invoke(1p) ask before they start a daemon. */
const POLICY = "/usr/sbin/policy-rc.d";
/** What is started at boot, in /etc: by System V's init, and by systemd. */
const STARTED = ["init.d/*", "systemd/system/*.wants/*"].map((pattern) => new Bun.Glob(pattern));
const TIME_LIMIT_MS = 600_000;
const OPTIONS = [
  ...["--yes", "--quiet", "--no-install-recommends"],
  // A fresh machine upgrades itself in its first minutes, and holds the lock meanwhile.
  ...["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"],
];
const ENV = { ...process.env, LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive" };

export const canInstall = (): boolean => process.getuid?.() === 0 && Bun.which("apt-get") !== null;

/** Whether apt-get could do it. Where it could not, its last words are on stderr. */
export function aptInstall(packages: readonly string[]): boolean {
  using _forbidden = forbidStarts(POLICY);
  const before = started();
  console.log(`setup: apt-get install ${packages.join(" ")}`);
  // The lists may be too old for the mirror.
  const done = aptGet("install", ...packages) || (aptGet("update") && aptGet("install", ...packages));
  for (const path of started()) if (!before.has(path)) disable(path);
  return done;
}

/** Those that this distribution has: one unknown name, and apt-get install installs none. */
export function available(packages: readonly string[]): string[] {
  // In an image there are no lists.
  if (!hasCandidate("bash")) aptGet("update");
  return packages.filter(hasCandidate);
}

const hasCandidate = (name: string): boolean =>
  /^ +Candidate: (?!\(none\))/m.test(`${Bun.spawnSync(["apt-cache", "policy", name], { env: ENV }).stdout}`);

const started = (): Set<string> =>
  new Set(STARTED.flatMap((links) => [...links.scanSync({ cwd: "/etc", onlyFiles: false })]));

/** Both only move links about, and need no init that runs. */
function disable(path: string): void {
  const name = basename(path);
  const words = path.startsWith("init.d/")
    ? ["update-rc.d", name, "disable"]
    : ["systemctl", "disable", name];
  if (Bun.which(words[0] ?? "")) Bun.spawnSync(words, { stdio: ["ignore", "ignore", "ignore"] });
}

function aptGet(...words: string[]): boolean {
  const { success, stdout, stderr } = Bun.spawnSync(["apt-get", ...OPTIONS, ...words], {
    env: ENV,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: TIME_LIMIT_MS,
  });
  if (!success) console.error(`${stdout}${stderr}`.trimEnd().split("\n").slice(-15).join("\n"));
  return success;
}

const OURS = "# Of hupwatch's tests";

/**
 * No daemon is started until it is disposed of; then the policy is the one that was there before, or none. A setup that is
 * killed leaves a policy that forbids nothing: it looks for this process, and then asks the one before. Exit code 101 is
 * "forbidden by policy".
 */
export function forbidStarts(policy: string): Disposable {
  const before = `${policy}.before-hupwatch-tests`;
  if (existsSync(policy) && !readFileSync(policy, "utf8").includes(OURS)) renameSync(policy, before);
  const script = `#!/bin/sh
${OURS}: nothing starts while they install packages.
[ -e /proc/${process.pid} ] && exit 101
[ -x '${before}' ] && exec '${before}' "$@"
exit 0
`;
  writeFileSync(policy, script, { mode: 0o755 });
  return {
    [Symbol.dispose]() {
      if (existsSync(before)) renameSync(before, policy);
      else rmSync(policy, { force: true });
    },
  };
}
