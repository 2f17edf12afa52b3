/** What a swap may leave behind by mistake: counted before and after, and compared as a whole. */
import { readdirSync } from "node:fs";
import type { Hupwatch } from "./hupwatch.ts";
import { openDescriptors } from "./processes.ts";
import { until } from "./until.ts";

export interface Leftovers {
  processes: number;
  /** hupwatch's own, by kind: `socket`, `anon_inode:[eventpoll]`, `/dev/null`; sorted. */
  descriptors: string[];
  /** Names in the site's directory; sorted. */
  files: string[];
}

/** How long nothing may change before a stock counts: a tee's zombie and its pidfd are gone sooner. */
const QUIET_MS = 500;

/** The stock when it has come to rest, with so many processes where that is said: right after "gone" an ended tee may still be waited for. */
export async function takeStock(
  hupwatch: Hupwatch,
  directory: string,
  processes?: number,
): Promise<Leftovers> {
  let last = "";
  let since = 0;
  return until(
    () => {
      const stock = countStock(hupwatch, directory);
      const text = JSON.stringify(stock);
      if (text !== last) [last, since] = [text, performance.now()];
      const isWhole = processes === undefined || stock.processes === processes;
      return isWhole && performance.now() - since >= QUIET_MS && stock;
    },
    {
      what: `the stock to come to rest${processes === undefined ? "" : ` at ${processes} processes`}`,
      context: () => last,
    },
  );
}

function countStock(hupwatch: Hupwatch, directory: string): Leftovers {
  return {
    processes: hupwatch.tree().length,
    descriptors: openDescriptors(hupwatch.pid)
      .map((what) => what.replace(/^(socket|pipe):\[\d+\]$/, "$1").replace(/\.hupwatch-.*$/, ".hupwatch"))
      .sort(),
    // Python's cache is the interpreter's business. A sibling socket's name has its generation's number.
    files: readdirSync(directory)
      .filter((name) => name !== "__pycache__")
      .map((name) => name.replace(/\.hupwatch-.*$/, ".hupwatch"))
      .sort(),
  };
}

/** Waits for the stock to be what it was: what is retired goes in its own time. */
export async function sameStock(hupwatch: Hupwatch, directory: string, before: Leftovers): Promise<void> {
  const wanted = JSON.stringify(before, null, 1);
  const now = () => JSON.stringify(countStock(hupwatch, directory), null, 1);
  await until(() => now() === wanted, {
    what: "as many processes, descriptors and files as before",
    context: () =>
      `before: ${wanted}\nafter: ${now()}\n${hupwatch
        .tree()
        .map((e) => e.command)
        .join("\n")}`,
  });
}
