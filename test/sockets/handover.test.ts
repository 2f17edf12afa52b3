/** How a generation learns of its listeners: variables, placeholders, and words that ask for what is not there. */
import { describe, expect, test } from "bun:test";
import { type Handover, handOver, hasPlaceholder } from "../../src/sockets/handover.ts";

const sockets = [
  { name: "web", socket: "127.0.0.1:8000" },
  { name: "admin", socket: "/run/.admin.sock.hupwatch-x-3" },
];
const hand = (mode: Handover, words: string[], held = sockets) =>
  handOver({ mode, words, sockets: held, generation: 3 });

describe("systemd", () => {
  test("LISTEN_FDS, LISTEN_FDNAMES in the order of the descriptors, LISTEN_PID at the fork", () => {
    expect(hand("systemd", ["server"])).toEqual({
      words: ["server"],
      env: { LISTEN_FDS: "2", LISTEN_FDNAMES: "web:admin" },
      listenPid: true,
      passesDescriptors: true,
    });
  });
  test("without sockets there is nothing to tell", () => {
    expect(hand("systemd", ["server"], [])).toMatchObject({ env: {}, listenPid: false });
  });
});

test.each(["argv", "path", "none"] as const)(
  "%s sets no variables: a server would take them for its own",
  (mode) => {
    expect(hand(mode, ["server"])).toMatchObject({ env: {}, listenPid: false });
  },
);

test.each<[Handover, boolean]>([
  ["systemd", true],
  ["argv", true],
  ["path", false],
  ["none", false],
])("%s passes descriptors: %p", (mode, passes) => {
  expect(hand(mode, ["server"]).passesDescriptors).toBe(passes);
});

test.each([
  ["--fd={fd}", "--fd=3"],
  ["{fd:web}", "3"],
  ["{fd:admin}", "4"],
  ["{socket}", "127.0.0.1:8000"],
  ["unix:{socket:admin}", "unix:/run/.admin.sock.hupwatch-x-3"],
  ["{fd},{fd:admin}", "3,4"],
  ["/var/log/app-{gen}.log", "/var/log/app-3.log"],
  ['{"fd": 1}', '{"fd": 1}'],
  ["{fds}", "{fds}"],
  ["{gen:web}", "{gen:web}"],
])("%s becomes %s", (word, filled) => {
  expect(hand("argv", ["server", word]).words).toEqual(["server", filled]);
});

describe("words that ask for what is not there", () => {
  test.each<[string, Handover, string[], typeof sockets, string, string]>([
    [
      "a name nobody has",
      "argv",
      ["{fd:api}"],
      sockets,
      "{fd:api} names no held socket (there are: web, admin)",
      "NAME=",
    ],
    [
      "no socket at all",
      "argv",
      ["{socket}"],
      [],
      "the command contains {socket}, but no socket is held",
      "--bind",
    ],
    [
      "a descriptor that is not passed",
      "none",
      ["{fd}"],
      sockets,
      "{fd} needs a handover",
      "--handover argv",
    ],
  ])("%s", (_, mode, words, held, message, hint) => {
    expect(() => hand(mode, words, held)).toThrow(message);
    expect(() => hand(mode, words, held)).toThrow(
      expect.objectContaining({ exitCode: 125, hint: expect.stringContaining(hint) }),
    );
  });
});

test("hasPlaceholder sees the kind it is asked for", () => {
  expect(hasPlaceholder(["a", "--fd={fd:web}"], "fd")).toBe(true);
  expect(hasPlaceholder(["a", "--fd={fd:web}"], "socket")).toBe(false);
  expect(hasPlaceholder(["{socket}"], "socket")).toBe(true);
});
