/** How the deployer gets into the hosts: keys that are made for one run, and what ssh(1) and Ansible are told of them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { must } from "../command.ts";
import { addressOf } from "./network.ts";

export interface Access {
  directory: string;
  hostKey: string;
  /** The private key; the public one is beside it. */
  client: string;
  knownHosts: string;
}

export async function makeAccess(place: string, hosts: number): Promise<Access> {
  const directory = `${place}/access`;
  mkdirSync(directory, { mode: 0o700 });
  const [hostKey, client, knownHosts] = ["host_key", "client", "known_hosts"].map(
    (name) => `${directory}/${name}`,
  ) as [string, string, string];
  for (const key of [hostKey, client]) await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  const addresses = Array.from({ length: hosts }, (_, i) => addressOf(i + 1)).join(",");
  writeFileSync(knownHosts, `${addresses} ${readFileSync(`${hostKey}.pub`, "utf8")}`);
  return { directory, hostKey, client, knownHosts };
}

export const sshWords = ({ client, knownHosts, directory }: Access): string[] => [
  ...["-F", "/dev/null", "-i", client, "-o", `UserKnownHostsFile=${knownHosts}`, "-o", "IdentitiesOnly=yes"],
  ...["-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2"],
  ...["-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", `ControlPath=${directory}/%h`],
];
