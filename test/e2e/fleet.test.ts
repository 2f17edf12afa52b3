/**
 * A fleet in short: HAProxy before three hosts, each with a network, sshd, supervisord and gunicorn of its own, and deploys by
 * Ansible. `bun run rig --fleet` has more hosts and more that goes wrong.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ansible } from "../../docker/rig/fleet/ansible.ts";
import { Fleet, whyNoFleet } from "../../docker/rig/fleet/fleet.ts";
import { SHORT } from "../../docker/rig/fleet/scenes.ts";

const HOSTS = 3;
/** Minutes on a machine that does other things, too; half of one on an idle one. */
const BOOT_TIMEOUT_MS = 180_000;
const SCENE_TIMEOUT_MS = 300_000;

const why = whyNoFleet();
const named = (name: string) => (why === undefined ? name : `${name}: ${why}`);

let fleet: Fleet | undefined;
beforeAll(async () => {
  if (why === undefined) fleet = await Fleet.start(HOSTS, ansible);
}, BOOT_TIMEOUT_MS);
afterAll(async () => fleet?.[Symbol.asyncDispose]());

for (const act of SHORT)
  test.skipIf(why !== undefined)(
    named(act.name),
    async () => {
      if (!fleet) throw new Error("no fleet");
      expect(await fleet.play(act)).toMatchObject({ kind: "green" });
    },
    SCENE_TIMEOUT_MS,
  );
