/** What hupwatch says on stderr about its life, as the tests wait for it. The one place that knows the wording. */
export const LOG = {
  started: (generation: number) => new RegExp(`generation ${generation} started \\(pid (\\d+)\\)`),
  ready: (generation: number) =>
    new RegExp(`generation ${generation} (?:ready in ([\\d.]+) s|counts as ready)`),
  serves: (generation: number) => new RegExp(`generation ${generation} serves`),
  startedAny: /generation (\d+) started/,
  readyAny: /generation (\d+) (?:counts as )?ready/,
  goneAny: /generation (\d+) gone/,
  servesAny: /generation (\d+) serves/,
  stoppedAnother:
    /stops generation (\d+), which an earlier hupwatch has left [a-z ]+: generation (?!\1\b)\d+ has the clients/,
  tookOver: (generation: number) => new RegExp(`took over generation ${generation}, which serves`),
  retired: (generation: number) => new RegExp(`generation ${generation} retired`),
  gone: (generation: number) => new RegExp(`generation ${generation} gone`),
  rolledBack: /rolled back/,
} as const;

export const highestGeneration = (log: string): number =>
  Math.max(...[...log.matchAll(/generation (\d+) (?:serves|started)/g)].map(([, number]) => Number(number)));
