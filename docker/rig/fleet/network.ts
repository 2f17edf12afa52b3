/**
 * A network that the run makes itself: a namespace of its own in the middle, with a bridge, and one for each host, joined by
 * veth(4) pairs. Nothing of this machine's own network is touched, and all of it is gone with the processes that hold it.
 */
import { readFileSync } from "node:fs";
import { until } from "../../../test/harness/until.ts";
import { must } from "../command.ts";

/** When the rig is killed, unshare is, and with it PID 1 of its namespace and all that is in there. */
const WITH_THE_RIG = "setpriv --pdeathsig KILL --".split(" ");
const MIDDLE = "10.0.0.1";

/** The words behind which a program runs in a namespace; its processes stay this machine's, so that they can be signalled. */
export type Inside = (words: readonly string[]) => string[];

export interface Namespace extends AsyncDisposable {
  /** Its first process, as this machine numbers it. */
  first: number;
  /** In its network alone. */
  inside: Inside;
  /** In all of its namespaces. */
  within: Inside;
}

/** `script` is what sh(1) does there as PID 1, and ends in an exec. */
export async function startNamespace(
  script: string,
  env: Record<string, string>,
  log: string,
): Promise<Namespace> {
  const file = Bun.file(log);
  const words = [
    ...WITH_THE_RIG,
    ...["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"],
    ...["sh", "-ec", script],
  ];
  const child = Bun.spawn(words, {
    env: { ...process.env, ...env },
    cwd: "/",
    stdio: ["ignore", file, file],
  });
  const end = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  try {
    const first = await until(
      () => {
        if (child.exitCode !== null)
          throw new Error(`unshare: exit code ${child.exitCode}: ${readFileSync(log, "utf8").trim()}`);
        return Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8"));
      },
      { what: "the first process of a namespace" },
    );
    return {
      first,
      inside: (inner) => ["nsenter", "--target", `${first}`, "--net", "--", ...inner],
      within: (inner) => [
        "nsenter",
        "--target",
        `${first}`,
        "--net",
        "--mount",
        "--pid",
        "--ipc",
        "--uts",
        "--",
        ...inner,
      ],
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** The namespace in the middle: balancer, deployer and load are there. */
export async function startMiddle(log: string): Promise<Namespace> {
  const setUp = `ip link set lo up; ip link add br0 type bridge; ip address add ${MIDDLE}/24 dev br0; ip link set br0 up`;
  const middle = await startNamespace(`${setUp}; echo up; exec sleep infinity`, {}, log);
  await until(() => readFileSync(log, "utf8").includes("up"), {
    what: "the network",
    context: () => readFileSync(log, "utf8"),
  });
  return middle;
}

export const addressOf = (number: number): string => `10.0.0.${10 + number}`;
const plugOf = (number: number): string => `host${number}`;

/** One end in the host's namespace, the other in the bridge. */
export async function plugIn(middle: Namespace, host: Namespace, number: number): Promise<void> {
  const plug = plugOf(number);
  const pair = ["ip", "link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", `${host.first}`];
  await must(middle.inside(pair));
  await must(middle.inside(["ip", "link", "set", plug, "master", "br0", "up"]));
  const setUp = `ip link set lo up; ip address add ${addressOf(number)}/24 dev eth0; ip link set eth0 up`;
  await must(host.inside(["sh", "-ec", setUp]));
}

/** As when a machine loses its power: nobody is told that its connections are over. */
export const pullOut = (middle: Namespace, number: number): Promise<string> =>
  must(middle.inside(["ip", "link", "set", plugOf(number), "down"]));
