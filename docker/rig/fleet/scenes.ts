/**
 * What happens to a fleet, a scene at a time, under counting load through the balancer. A scene acts, and says what the deploys
 * and the hosts have to show; verdict.ts judges. Each begins with all hosts on one release.
 */
import { until } from "../../../test/harness/until.ts";
import type { Deploy } from "./engine.ts";
import type { Fleet } from "./fleet.ts";
import { type Death, deployFaults, type Expected, hostFaults, releaseFaults, type Scene } from "./verdict.ts";

export interface Act {
  name: string;
  /** The balancer below hupwatch, too. */
  balancer?: "hupwatch";
  /** What it returns is looked at when the load has ended. */
  act(fleet: Fleet): Promise<Acted>;
}

export interface Acted {
  /** The deploy whose recap is shown. */
  deploy: Deploy;
  death?: Death;
  /** Besides what `verdictLine` says. */
  said: string;
  faults(scene: Scene): string[];
}

const all =
  (release: string): ((number: number) => Expected) =>
  () => ({ release, swapped: 1 });

const GOOD: Act = {
  name: "(a) a good deploy",
  async act(fleet) {
    const { release, before } = await fleet.newRelease();
    const deploy = await fleet.deploy(release);
    return {
      deploy,
      said: `every host serves release ${release} in place of ${before}`,
      faults: (scene) => [...deployFaults(deploy, { code: "0" }), ...hostFaults(scene, all(release))],
    };
  },
};

const REASON = /release (\d+) cannot reach its database/;

const BROKEN: Act = {
  name: "(b) a broken release",
  async act(fleet) {
    const { release, before } = await fleet.newRelease("everywhere");
    const deploy = await fleet.deploy(release);
    return {
      deploy,
      said: `host1 alone was touched, and its link leads back to ${before}`,
      faults: (scene) => [
        ...deployFaults(deploy, { code: "not 0", says: REASON }),
        ...hostFaults(scene, (number) => ({ release: before, swapped: 0, rolledBack: number === 1 ? 1 : 0 })),
        ...releaseFaults(scene, (number) => number > 1),
      ],
    };
  },
};

/** The short form of all this. */
export const SHORT: readonly Act[] = [GOOD, BROKEN];

const REHEARSAL: Act = {
  name: "--check, and a deploy of what serves",
  async act(fleet) {
    const { release, before } = await fleet.newRelease();
    const check = await fleet.deploy(release, "--check");
    const again = await fleet.deploy(before);
    const changes = ({ changed }: Deploy) => Object.values(changed);
    return {
      deploy: check,
      said: "the first names a change on each host and makes none, the second has nothing to change",
      faults: (scene) => [
        ...[check, again].flatMap((deploy) => deployFaults(deploy, { code: "0" })),
        ...(changes(check).includes(0) ? [`--check foresees no change: ${check.recap.join("\n")}`] : []),
        ...(changes(again).some((n) => n > 0) ? [`not idempotent: ${again.recap.join("\n")}`] : []),
        ...hostFaults(scene, () => ({ release: before, swapped: 0 })),
        ...releaseFaults(scene, () => true),
      ],
    };
  },
};

/** In the second batch, behind one that is good. */
const BAD_HOST = 2;

const ROLLED_BACK: Act = {
  name: "(b) a release that breaks on the second host, with roll_back",
  async act(fleet) {
    const { release, before } = await fleet.newRelease("where spoilt");
    fleet.hosts[BAD_HOST - 1]?.spoil();
    const deploy = await fleet.deploy(release, "-e", "roll_back=true");
    const [first, second] = fleet.batches(BAD_HOST);
    return {
      deploy,
      said: `the batches before are back on release ${before}, too`,
      faults: (scene) => [
        ...deployFaults(deploy, { code: "not 0", says: REASON }),
        ...hostFaults(scene, (number) => {
          if (number === BAD_HOST) return { release: before, swapped: 0, rolledBack: 1 };
          // There and back.
          return { release: before, swapped: first.includes(number) || second.includes(number) ? 2 : 0 };
        }),
        ...releaseFaults(scene, (number) => !first.includes(number) && !second.includes(number)),
      ],
    };
  },
};

const TWO_AT_ONCE: Act = {
  name: "(d) two deploys at once",
  async act(fleet) {
    const releases = [await fleet.newRelease(), await fleet.newRelease()].map(({ release }) => release);
    const deploys = await Promise.all(releases.map((release) => fleet.deploy(release)));
    const won = deploys.findIndex(({ code }) => code === 0);
    const [winner, loser] = [deploys[won], deploys[1 - won]] as [Deploy, Deploy];
    const release = releases[won] ?? "none";
    fleet.settle(release);
    return {
      deploy: loser ?? winner,
      said: `release ${release} serves everywhere, the other deploy was refused before it changed what serves`,
      faults: (scene) => [
        ...(won < 0 ? deploys.flatMap((deploy) => deployFaults(deploy, { code: "0" })) : []),
        ...(loser ? deployFaults(loser, { code: "not 0", says: /another deploy/ }) : []),
        ...hostFaults(scene, all(release)),
      ],
    };
  },
};

const BALANCER_TOO: Act = {
  name: "(a) with HAProxy below hupwatch, itself swapped meanwhile",
  balancer: "hupwatch",
  async act(fleet) {
    const { release } = await fleet.newRelease();
    const [deploy] = await Promise.all([fleet.deploy(release), fleet.balancer.reload()]);
    return {
      deploy,
      said: `every host serves release ${release}, and HAProxy is a new one`,
      faults: (scene) => [...deployFaults(deploy, { code: "0" }), ...hostFaults(scene, all(release))],
    };
  },
};

const DYING = 3;
const GIVEN_UP_MS = 10_000;

const HOST_DIES: Act = {
  name: "(c) a host dies in its swap",
  async act(fleet) {
    const { release, before } = await fleet.newRelease();
    const host = fleet.hosts[DYING - 1];
    if (!host) throw new Error(`no host${DYING}`);
    const deploying = fleet.deploy(release);
    await until(() => host.linked() === release, {
      what: `${host.name}'s turn`,
      timeoutMs: 240_000,
      everyMs: 20,
    });
    const atMs = await host.die();
    const deploy = await deploying;
    const reached = fleet.batches(DYING).flat();
    // HAProxy's deadlines for a connection that is made or kept, and what it then answers.
    await Bun.sleep(GIVEN_UP_MS);
    return {
      deploy,
      death: { host: host.name, atMs },
      said: `release ${release} serves on the hosts before it, ${before} goes on behind it`,
      faults: (scene) => [
        ...deployFaults(deploy, { code: "not 0", says: new RegExp(host.name) }),
        ...hostFaults(scene, (number) =>
          reached.includes(number) ? { release, swapped: 1 } : { release: before, swapped: 0 },
        ),
      ],
    };
  },
};

/** In the order in which one fleet can have them: the last one costs it a host. */
export const LONG: readonly Act[] = [
  REHEARSAL,
  GOOD,
  BROKEN,
  ROLLED_BACK,
  TWO_AT_ONCE,
  BALANCER_TOO,
  HOST_DIES,
];
