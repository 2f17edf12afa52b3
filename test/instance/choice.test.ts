/** Which of an earlier hupwatch's generations a start swaps from, and when the others end: the whole preference, as a table. */
import { describe, expect, test } from "bun:test";
import type { Survivor } from "../../src/instance/census.ts";
import { choose } from "../../src/instance/choice.ts";
import type { GroupMember } from "../../src/sockets/held.ts";

const PORT = "127.0.0.1:80";

/** Recorded, with a leader that runs and a listener of its own. */
const survivor = (number: number, facts: Partial<Survivor> = {}): Survivor => ({
  ...{ number, pid: 100 + number, startTime: 1, hupwatchPid: 1, uid: 0, role: "retiring" },
  listeners: [{ address: PORT, inode: number }],
  ...{ isRecorded: true, isLed: true, mayAccept: true, isPublic: false },
  sockets: new Set([number]),
  ...facts,
});

const serving = { role: "serving" } as const;
const starting = { role: "starting" } as const;
const kept = { role: "kept" } as const;
const unconfirmed = { role: "unconfirmed" } as const;
const isPublic = { isPublic: true };
/** Its leader has gone, and its workers with it: only the tee of its output is left. */
const teeOnly = { isLed: false, mayAccept: false };
/** Its leader has gone, its workers still accept. */
const workersOnly = { isLed: false, mayAccept: true };
const unrecorded = { isRecorded: false };

const chosen = (...survivors: Survivor[]) => choose({ survivors, last: 9 });

describe("the current one is", () => {
  const table: [what: string, survivors: Survivor[], current: number | undefined][] = [
    ["none, of none", [], undefined],
    ["the only one, whatever it was doing", [survivor(1)], 1],
    ["what the state names, where nothing else tells", [survivor(1, serving), survivor(2, starting)], 1],
    [
      "what the public path leads to, whatever the state names",
      [survivor(1, serving), survivor(2, isPublic)],
      2,
    ],
    [
      "of several behind the public path the one that the state names",
      [survivor(1, isPublic), survivor(2, { ...isPublic, ...serving })],
      2,
    ],
    [
      "of several behind it, where the state names none, the first",
      [survivor(1, isPublic), survivor(2, isPublic)],
      1,
    ],
    [
      "where the serving one is gone, the youngest that was starting",
      [survivor(1), survivor(2, starting), survivor(3, starting)],
      3,
    ],
    [
      "I9: the one that is kept beside one that nobody has confirmed, although clients reach that one",
      [survivor(1, kept), survivor(2, { ...isPublic, ...unconfirmed })],
      1,
    ],
    [
      "the unconfirmed one where the other has gone",
      [survivor(1, { ...kept, ...teeOnly }), survivor(2, { ...isPublic, ...unconfirmed })],
      2,
    ],
    ["not one that is only kept", [survivor(1, kept), survivor(2, { ...isPublic, ...serving })], 2],
    ["rather one that was starting than one that drains", [survivor(1, starting), survivor(2)], 1],
    ["else the youngest that drains", [survivor(1), survivor(2)], 2],
    ["one whose workers outlived their leader", [survivor(1, { ...serving, ...workersOnly })], 1],
    [
      "not one of which only the tee of a log is left",
      [survivor(1, { ...serving, ...teeOnly }), survivor(2)],
      2,
    ],
    ["not a tee, though the public path is its", [survivor(1, { ...isPublic, ...teeOnly })], undefined],
    // F18: anything of that user may have three variables in its environment.
    [
      "not an unrecorded one that listens nowhere",
      [survivor(1, { ...unrecorded, mayAccept: false })],
      undefined,
    ],
    [
      "an unrecorded one that listens, where it is all there is",
      [survivor(1, { ...unrecorded, ...starting })],
      1,
    ],
    [
      "rather a recorded one that serves",
      [survivor(1, serving), survivor(2, { ...unrecorded, ...starting })],
      1,
    ],
  ];
  test.each(table)("%s", (_, survivors, current) => {
    const choice = chosen(...survivors);
    expect(choice.current?.number).toBe(current as number);
    expect(choice.others.map((g) => g.number)).toEqual(
      survivors.map((g) => g.number).filter((number) => number !== current),
    );
  });
});

describe("the others end", () => {
  const inGroup = (inode: number, group: GroupMember[]) => ({ listeners: [{ address: PORT, inode, group }] });
  const table: [what: string, survivors: Survivor[], when: "before" | "after"][] = [
    ["after clients are steered away from them", [survivor(1, serving), survivor(2)], "after"],
    [
      "after, where all of a group are there, in any hands",
      [
        survivor(1, { ...serving, ...inGroup(1, [1, 2]), sockets: new Set([1, 2]) }),
        survivor(2, { ...inGroup(2, [1, 2]), sockets: new Set() }),
      ],
      "after",
    ],
    [
      "after, where a member was never to be used",
      [survivor(1, { ...serving, ...inGroup(1, ["idle", 1]) })],
      "after",
    ],
    [
      "before, where a member of the group has gone",
      [survivor(1, { ...serving, ...inGroup(1, [7, 1]) })],
      "before",
    ],
    [
      "before, where one is in the group that the record does not know",
      [survivor(1, { ...serving, ...inGroup(1, [1]) }), survivor(2, inGroup(2, [1, 2]))],
      "before",
    ],
    [
      "before, where nothing is known of another's listeners",
      [survivor(1, { ...serving, ...inGroup(1, [1]) }), survivor(2, { listeners: [] })],
      "before",
    ],
    ["before, where none can be swapped from", [survivor(1, teeOnly)], "before"],
  ];
  test.each(table)("%s", (_, survivors, when) => {
    expect(chosen(...survivors).endOthers).toBe(when);
  });
});
