/** What the keeper tells is the command's word: whatever it says, it is one of the events or nothing. */
import { expect, test } from "bun:test";
import { readEvent } from "../../src/intercept/protocol.ts";

const line = (value: unknown) => readEvent(JSON.stringify(value));

test("events are read, and nothing else comes along with them", () => {
  expect(line({ event: "exited", pid: 7, code: 3, more: 1 })).toEqual({ event: "exited", pid: 7, code: 3 });
  expect(line({ event: "exited", pid: 7, signal: 9 })).toEqual({ event: "exited", pid: 7, signal: 9 });
  const bound = { event: "bound", generation: 1, pid: 7, address: "0.0.0.0:80" } as const;
  expect(line({ ...bound, learned: true })).toEqual(bound);
  const listening = { ...bound, event: "listening", inode: 5, learned: true, privatePath: "/tmp/a" } as const;
  expect(line(listening)).toEqual(listening);
});

test.each([
  "",
  "null",
  "[]",
  "{",
  `{"event":"exited"}`,
  `{"event":"exited","pid":-1,"code":0}`,
  `{"event":"exited","pid":1.5,"code":0}`,
  `{"event":"exited","pid":"1","code":0}`,
  `{"event":"bound","generation":1,"pid":1,"address":5}`,
  JSON.stringify({ event: "bound", generation: 1, pid: 1, address: "a".repeat(2000) }),
  `{"event":"listening","generation":1,"pid":1,"address":"a","inode":"1"}`,
  `{"event":"listening","generation":1,"pid":1,"address":"a","inode":1,"privatePath":{}}`,
  `{"event":"trouble","generation":1}`,
  `{"event":"__proto__"}`,
])("%p is none", (text) => {
  expect(readEvent(text)).toBeUndefined();
});
