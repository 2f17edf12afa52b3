/**
 * A port that is taken over from survivors whose descriptors nobody gets. On the real kernel: what it has moved in its group
 * shows in which listener answers.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { fstatSync, openSync } from "node:fs";
import type { GroupMember, Listener } from "../../src/sockets/held.ts";
import { HeldTcp } from "../../src/sockets/held-tcp.ts";
import { format, type InetAddress } from "../../src/sockets/sockaddr.ts";
import { startLoad } from "../harness/load.ts";
import { thrownBy } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";
import { type Answering, answering, versionAt } from "./answering.ts";

const cleanup: Disposable[] = [];
afterEach(() => {
  for (const one of cleanup.splice(0).reverse()) one[Symbol.dispose]();
});

interface Left {
  address: InetAddress;
  /** In the kernel's order. */
  order: GroupMember[];
  servers: Answering[];
}

const spec = (address: InetAddress) => ({
  name: "x",
  text: format(address),
  address: { kind: "tcp", host: address.host, port: address.port } as const,
});

/** Servers 1 to `count` behind listeners that only they have open; clients reach `serving`. */
function leaveBehind(count: number, serving: number): Left {
  const wanted: InetAddress = { family: "inet", host: "127.0.0.1", port: 0 };
  const held = new HeldTcp(spec(wanted), wanted, { backlog: 512 });
  const listeners = Array.from({ length: count }, (_, i) => held.listenFor(i + 1));
  const servers = listeners.map(({ fd }, i) => answering(fd, `${i + 1}`));
  cleanup.push(...servers);
  held.steerTo(listeners[serving - 1] as Listener);
  const { address } = held;
  const order = held.group();
  held.leave();
  return { address, order, servers };
}

function takeOver({ address, order }: Left, serving: number): HeldTcp {
  const inherited = { fd: undefined, inode: order[serving - 1] as number, order };
  const held = new HeldTcp(spec(address), address, { backlog: 512 }, inherited);
  cleanup.push(held);
  return held;
}

function serve(held: HeldTcp, version: string): Listener {
  const listener = held.listenFor(Number(version));
  cleanup.push(answering(listener.fd, version));
  return listener;
}

const each = [1, 2, 3].flatMap((count) =>
  Array.from({ length: count }, (_, i) => ({ count, serving: i + 1 })),
);

describe.each(each)("from $count survivors, $serving of which serves", ({ count, serving }) => {
  const orders = [0, 1].map(
    (reverse) => (servers: readonly Answering[]) => (reverse ? servers.toReversed() : servers),
  );

  test.each(orders)(
    "whichever members leave in whatever order, every client reaches the listener that it should",
    async (inOrder) => {
      const left = leaveBehind(count, serving);
      await using load = await startLoad({ target: format(left.address), concurrency: 8 });
      await load.more(50);
      const held = takeOver(left, serving);
      await load.more(50);
      expect(left.servers.every((s, i) => s.accepted === 0 || i === serving - 1)).toBe(true);

      const young = serve(held, "8");
      using probe = young.connect();
      await until(() => probe.connected(), { what: "the probe" });
      held.steerTo(young);
      await load.version("8");
      held.steerTo(held.adopted as Listener); // a rollback
      await load.version(`${serving}`);
      held.steerTo(young);
      await load.version("8");

      const next = serve(held, "9");
      held.steerTo(next);
      await load.version("9");
      for (const server of inOrder(left.servers)) {
        server[Symbol.dispose]();
        for (let i = 0; i < 30; i++)
          expect(await versionAt({ hostname: left.address.host, port: left.address.port })).toBe("9");
      }
      held.adopted?.[Symbol.dispose]();
      for (const [listener, version] of [
        [young, "8"],
        [next, "9"],
        [serve(held, "10"), "10"],
      ] as const) {
        held.steerTo(listener);
        for (let i = 0; i < 30; i++)
          expect(await versionAt({ hostname: left.address.host, port: left.address.port })).toBe(version);
      }
      expect((await load.stop()).failures).toEqual({});
    },
  );
});

test("a record from before survivors left, idle ones of an earlier takeover among them", async () => {
  const left = leaveBehind(2, 2);
  const order: GroupMember[] = ["idle", left.order[1] as number];
  const held = takeOver({ ...left, order }, 2);
  const young = serve(held, "3");
  held.steerTo(young);
  const recorded = held.group();
  for (const server of left.servers) server[Symbol.dispose]();
  const again = takeOver(
    { ...left, order: recorded },
    recorded.indexOf(fstatSync(young.fd as number).ino) + 1,
  );
  const target = { hostname: left.address.host, port: left.address.port };
  for (let i = 0; i < 30; i++) expect(await versionAt(target)).toBe("3");
  const next = serve(again, "4");
  again.steerTo(next);
  for (let i = 0; i < 30; i++) expect(await versionAt(target)).toBe("4");
});

test("taken over again and again, also from the half of a takeover", async () => {
  const left = leaveBehind(2, 2);
  await using load = await startLoad({ target: format(left.address), concurrency: 8 });
  const astray: Answering[] = [];
  let held = takeOver(left, 2);
  for (let version = 3; version < 8; version++) {
    const young = serve(held, `${version}`);
    held.steerTo(young);
    await load.version(`${version}`);
    // The old ones leave before the next start, while it is prepared, or never.
    if (version === 4) for (const server of left.servers) server[Symbol.dispose]();
    const order = held.group();
    const inode = fstatSync(young.fd as number).ino;
    // The others are kept open as tees do; a connection that is sent there is sent wrongly.
    for (const fd of held.groupDescriptors())
      if (fd !== young.fd) {
        const keeper = answering(fd, "astray");
        cleanup.push(keeper);
        astray.push(keeper);
      }
    held.leave();
    held = new HeldTcp(spec(left.address), left.address, { backlog: 512 }, { fd: undefined, inode, order });
    cleanup.push(held);
    await load.more(50);
    expect(astray.map((s) => s.accepted)).toEqual(astray.map(() => 0));
  }
  expect((await load.stop()).failures).toEqual({});
});

describe("refused:", () => {
  test("a stranger in the group", () => {
    const left = leaveBehind(2, 1);
    const stranger = takeOver(left, 1);
    expect(thrownBy(() => takeOver(left, 1))).toMatchObject({ code: "takeover.busy", exitCode: 125 });
    stranger.leave();
    takeOver(left, 1);
  });

  test("a group that nobody has recorded", () => {
    const { address } = leaveBehind(1, 1);
    const error = thrownBy(() => new HeldTcp(spec(address), address, { backlog: 1 }, { fd: undefined }));
    expect(error).toMatchObject({ code: "takeover.forbidden", exitCode: 125 });
  });

  test("several listeners in an order that nobody has recorded: the processes are named", () => {
    const { address, servers } = leaveBehind(2, 1);
    expect(servers).toHaveLength(2);
    const fd = openSync("/dev/null", "r");
    const error = thrownBy(() => new HeldTcp(spec(address), address, { backlog: 1 }, { fd }));
    expect(error).toMatchObject({ code: "takeover.busy", exitCode: 125 });
    expect(error.message).toContain(`process ${process.pid} (`);
  });
});
