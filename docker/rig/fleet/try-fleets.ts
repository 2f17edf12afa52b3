/** What `bun run rig --fleet` tries: each engine with a fleet of its own. */
import type { Extra } from "../grid.ts";
import { ansible } from "./ansible.ts";
import { type Programme, playScenes } from "./fleet.ts";
import { installSalt, salt } from "./salt.ts";
import { LONG, SHORT } from "./scenes.ts";
import { trySwarm } from "./swarm.ts";

type Say = (line: string) => void;

/** Eight: enough for batches of more than one. */
const ANSIBLE: Programme = { engine: "Ansible", engineOf: ansible, hosts: 8, acts: LONG };
const SALT: Programme = { engine: "Salt", engineOf: salt, hosts: 4, acts: SHORT };

/** Of scenes with these words in their names, or all. */
export async function tryFleets({ only }: { only: string[] | undefined }, say: Say): Promise<Extra[]> {
  const wanted = (programme: Programme): Programme => {
    const isWanted = (name: string) =>
      !only || only.some((text) => `${programme.engine}: ${name}`.includes(text));
    return { ...programme, acts: programme.acts.filter(({ name }) => isWanted(name)) };
  };
  const [byAnsible, bySalt] = [wanted(ANSIBLE), wanted(SALT)];
  const extras: Extra[] = [];
  if (byAnsible.acts.length > 0) extras.push(...(await playScenes(byAnsible, say)));
  if (bySalt.acts.length > 0) extras.push(...(await trySalt(bySalt, say)));
  if (!only || only.some((text) => "Swarm".includes(text))) extras.push(await trySwarm(say));
  return extras;
}

async function trySalt(programme: Programme, say: Say): Promise<Extra[]> {
  try {
    await installSalt(say);
  } catch (error) {
    const why = `Salt cannot be had of PyPI: ${error instanceof Error ? error.message : error}`;
    return programme.acts.map(({ name }) => ({ name: `Salt: ${name}`, outcome: { kind: "skipped", why } }));
  }
  return playScenes(programme, say);
}
