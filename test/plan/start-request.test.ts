/** What `explain` prints is what a start carries out: both are the one request. */
import { expect, test } from "bun:test";
import { startRequest } from "../../src/plan/start-request.ts";
import { PLAN, Stage } from "../fake-os/stage.ts";

test("a generation is started by the request and nothing else", async () => {
  const plan = { ...PLAN, words: ["server", "--fd", "{fd}", "--gen={gen}"], umask: 0o027, user: "nobody" };
  const stage = await new Stage(plan).begin();
  const sockets = [{ name: "web", socket: "127.0.0.1:80" }];
  const request = startRequest(plan, {
    ...{ generation: 1, sockets },
    ...{ hupwatchPid: stage.os.pid, notifySocket: undefined },
  });
  expect(stage.child(1).request).toMatchObject(request);
  expect(request).toMatchObject({
    argv: ["server", "--fd", "3", "--gen=1"],
    env: { LISTEN_FDS: "1", LISTEN_FDNAMES: "web", HUPWATCH_GENERATION: "1" },
    ...{ cwd: "/srv", listenPid: true, passesDescriptors: true },
    ...{ dieWithParent: true, umask: 0o027, user: "nobody" },
  });
  expect(request.ownEnvironment).not.toHaveProperty("LISTEN_FDS");
});

test("where hupwatch is notified is for the server alone, and not for the checks beside it", () => {
  const start = { generation: 1, sockets: [], hupwatchPid: 42, notifySocket: "@n" };
  const request = startRequest({ ...PLAN, handover: "none" }, start);
  expect(request.env.NOTIFY_SOCKET).toBe("@n");
  expect(request.ownEnvironment).not.toHaveProperty("NOTIFY_SOCKET");
  expect(request).toMatchObject({ passesDescriptors: false, listenPid: false });
});
