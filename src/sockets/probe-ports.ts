/**
 * Source ports for shell lines of the user (`--ready exec:`, hooks, a judge): over TCP the selector recognises a client by its source port,
 * which a shell line can choose (`curl --local-port`). There are many, since each is in TIME_WAIT for a minute after it was used.
 */
import { readFileSync } from "node:fs";
import { PROBE_PORTS } from "./selectors.ts";

const LOWEST = 10_000;
const HIGHEST = 65_535;
/** ip(7), where it cannot be read. */
const USUAL_RANGE = [32_768, 60_999] as const;

/** The first of them: outside of what the kernel hands out by itself, none of `taken`, and of each name the same. Undefined: no room. */
export function probePortsFor(
  name: string,
  taken: readonly number[],
  [low, high]: readonly [number, number] = ephemeralRange(),
): number | undefined {
  const blocks: number[] = [];
  for (
    let from = Math.ceil(LOWEST / PROBE_PORTS) * PROBE_PORTS;
    from + PROBE_PORTS - 1 <= HIGHEST;
    from += PROBE_PORTS
  ) {
    const to = from + PROBE_PORTS - 1;
    if ((to < low || from > high) && !taken.some((port) => port >= from && port <= to)) blocks.push(from);
  }
  // Above it fewer servers listen.
  const above = blocks.filter((from) => from > high);
  const among = above.length > 0 ? above : blocks;
  return among[Bun.hash.crc32(name) % Math.max(1, among.length)];
}

function ephemeralRange(): readonly [number, number] {
  try {
    const [low = Number.NaN, high = Number.NaN] = readFileSync(
      "/proc/sys/net/ipv4/ip_local_port_range",
      "latin1",
    )
      .trim()
      .split(/\s+/)
      .map(Number);
    return low <= high ? [low, high] : USUAL_RANGE;
  } catch {
    return USUAL_RANGE;
  }
}
