/** What a scene of the fleet must show. Pure: every line can fail. */
import type { LoadReport } from "../../../src/load/result.ts";

import type { Answered } from "./balancer.ts";
import type { Deploy } from "./engine.ts";
import type { Seen } from "./host.ts";

/** When, in milliseconds since 1970: what was sent later never reached it. */
export interface Death {
  host: string;
  atMs: number;
}

export interface Scene {
  loads: readonly LoadReport[];
  answers: ReadonlyMap<string, Answered>;
  before: readonly Seen[];
  /** Without the dead one. */
  after: readonly Seen[];
  death?: Death;
}

/** A host as it has to be: which release, and how many swaps and rollbacks later. */
export interface Expected {
  release: string;
  swapped: number;
  rolledBack?: number;
}

const sum = (loads: readonly LoadReport[], of: (load: LoadReport) => number) =>
  loads.reduce((total, load) => total + of(load), 0);

/**
 * Nothing was dropped but what a dead host had in flight; and where none died, nothing had to be tried a second time either: a
 * balancer that tries again would hide what a deploy drops.
 */
export function loadFaults({ loads, answers, death }: Scene): string[] {
  const faults: string[] = [];
  const say = (bad: boolean, what: string) => bad && faults.push(what);
  for (const { mode, started, ok, failed, missed, scheduled, generator } of loads) {
    say(ok === 0, `${mode}: no request was answered`);
    say(
      scheduled !== started + missed || started !== ok + failed,
      `${mode}: of ${started} requests ${ok} are good and ${failed} failed: some are lost`,
    );
    say(generator.limited, `${mode}: the load was the limit: ${generator.reasons.join("; ")}`);
  }
  const dropped = loads.flatMap(({ startedAt, failureRecords }) =>
    failureRecords.map((record) => ({ record, sentMs: Date.parse(startedAt) + record.startedMs })),
  );
  const unknown = sum(loads, ({ failed }) => failed) - dropped.length;
  say(unknown > 0, `${unknown} requests dropped of which nothing is known`);
  for (const { record, sentMs } of dropped) {
    const host = answers.get(record.id)?.host ?? "no host";
    if (host !== death?.host) faults.push(`dropped, and it was ${host}'s: ${JSON.stringify(record)}`);
    else if (sentMs > death.atMs)
      faults.push(
        `dropped ${(sentMs - death.atMs).toFixed(0)} ms after ${host} died: ${JSON.stringify(record)}`,
      );
  }
  const again = [...answers].filter(([, { retries }]) => retries > 0);
  say(death === undefined && again.length > 0, `HAProxy had to try ${again.length} requests a second time`);
  say(answers.size === 0, "HAProxy's log names no request");
  return faults;
}

/** `expected` is by the host's number, from 1. */
export function hostFaults(
  { before, after, death }: Scene,
  expected: (number: number) => Expected,
): string[] {
  const faults: string[] = [];
  for (const [i, { name, swapped, rolledBack }] of before.entries()) {
    if (name === death?.host) continue;
    const now = after.find((seen) => seen.name === name);
    const { release, ...more } = expected(i + 1);
    const want = {
      linked: release,
      serves: release,
      swapped: swapped + more.swapped,
      rolledBack: rolledBack + (more.rolledBack ?? 0),
    };
    const is = now && {
      linked: now.linked,
      serves: now.serves,
      swapped: now.swapped,
      rolledBack: now.rolledBack,
    };
    if (JSON.stringify(is) !== JSON.stringify(want))
      faults.push(`${name} is ${JSON.stringify(is)} and should be ${JSON.stringify(want)}`);
  }
  return faults;
}

/** The files of a release that failed elsewhere have not come to a host that was not touched. */
export const releaseFaults = ({ before, after }: Scene, untouched: (number: number) => boolean): string[] =>
  before.flatMap(({ name, releases }, i) => {
    const now = after.find((seen) => seen.name === name)?.releases;
    return untouched(i + 1) && JSON.stringify(now) !== JSON.stringify(releases)
      ? [`${name} was touched: it has the releases ${now?.join(", ")}`]
      : [];
  });

export function deployFaults(deploy: Deploy, wanted: { code: "0" | "not 0"; says?: RegExp }): string[] {
  const isGood = deploy.code === 0;
  const faults =
    isGood === (wanted.code === "0") ? [] : [`the deploy has exit code ${deploy.code}:\n${tail(deploy)}`];
  if (deploy.recap.length === 0) faults.push(`the deploy has no recap:\n${tail(deploy)}`);
  if (wanted.says && !wanted.says.test(deploy.text))
    faults.push(`the deploy does not say ${wanted.says}:\n${tail(deploy)}`);
  return faults;
}

const tail = ({ text }: Deploy) => text.trimEnd().split("\n").slice(-30).join("\n");

/** One line, in the words of `hupwatch verify`. */
export function verdictLine({ loads, answers, death }: Scene): string {
  const [failed, started] = [sum(loads, (load) => load.failed), sum(loads, (load) => load.started)];
  const count = (n: number) => n.toLocaleString("en");
  const again = [...answers.values()].filter(({ retries }) => retries > 0).length;
  const lost =
    death === undefined
      ? ""
      : `, all in flight at ${death.host} as it died; ${count(again)} found it dead and went elsewhere`;
  return `${count(failed)} of ${count(started)} requests dropped${lost}`;
}
