/** What grows with the machine, or with the number of something, and how much of it: each in its full size. */
import type { Row } from "../row.ts";

/** `share` of the full size, for a shorter run. */
export type Measure = (share: number) => Promise<Row[]>;

const sized = (size: number, share: number): number => Math.max(2, Math.round(size * share));

// Loaded one by one: they look for HUPWATCH_LAUNCHER when they are.
export const SCALE: Record<string, Measure> = {
  others: async (share) => (await import("./among-others.ts")).amongOthers(sized(5000, share)),
  tree: async (share) => (await import("./large-tree.ts")).largeTree(sized(500, share)),
  addresses: async (share) => (await import("./many-addresses.ts")).manyAddresses(sized(64, share)),
  draining: async (share) => (await import("./draining.ts")).draining(sized(10_000, share)),
  kept: async (share) => (await import("./idle-kept.ts")).idleKept(sized(10_000, share)),
  clients: async (share) => (await import("./kept-clients.ts")).keptClients(sized(20, share)),
  flight: async (share) => (await import("./in-flight.ts")).inFlight(sized(100_000, share)),
  many: async (share) => (await import("./many-hupwatches.ts")).manyHupwatches(sized(200, share)),
};
