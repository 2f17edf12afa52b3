/** What an engine that deploys to a fleet has to say of itself. ansible.ts and salt.ts are two. */
import type { Namespace } from "./network.ts";

export interface Deploy {
  code: number;
  /** All it said. */
  text: string;
  /** What it said last: each host, or each step. */
  recap: string[];
  /** By name, the hosts' own counts, where the engine has them. */
  changed: Record<string, number>;
}

export type Deployer = (release: string, ...words: string[]) => Promise<Deploy>;

/** Where a host's files are on this machine; in the host, `files` is /srv. */
export interface Site {
  number: number;
  files: string;
}

export interface Engine {
  /** Writes what a host needs for it, and returns what its first process runs, for sh(1). */
  equip(site: Site): string;
  /** When all hosts are plugged in. Until it is disposed of with the middle. */
  begin(): Promise<Deployer>;
}

/** `place` is the run's own directory, `releases` in it has those that are deployed. */
export type EngineOf = (fleet: { middle: Namespace; place: string; hosts: number }) => Promise<Engine>;
