/** I7 for the keeper itself: it is killed under a load that it answers calls for, and nothing of the service fails or hangs by it. */
import { expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { close, pidfdGetfd, pidfdOpen } from "../../src/os/libc.ts";
import { isNotificationValid } from "../../src/os/libc-intercept.ts";
import { cli } from "../harness/cli.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { killEntry, openDescriptorNumbers, type ProcessEntry, readProcess } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";

/**
 * Unlinks a file in each request, which is a trapped call where a Unix socket is held. The second word: it makes as many more of them all the time, so that
 * the keeper has one in its hand whenever it is looked at.
 */
const UNLINKS = `
const http = require("http"), fs = require("fs");
http.createServer((request, response) => {
  const file = process.argv[1] + "." + Math.random();
  response.setHeader("X-Version", process.env.HUPWATCH_GENERATION);
  response.setHeader("X-Request-Id", request.headers["x-request-id"] ?? "");
  fs.writeFileSync(file, "");
  fs.unlink(file, (error) => { response.statusCode = error ? 500 : 200; response.end(String(error)); });
}).listen(process.argv[1]);
const unlinks = () => fs.unlink(process.argv[1] + ".none", unlinks);
for (let more = Number(process.argv[2]); more > 0; more--) unlinks();
`;

const keeperOf = (hupwatch: Hupwatch): Promise<ProcessEntry> =>
  until(() => hupwatch.tree().find(({ command }) => / keep \S+ \S+ \d+ \d+$/.test(command)), {
    what: "a keeper",
  });

/** The thread whose call is in its hand: in the memory that it shares with hupwatch, and by the kernel's word received and not answered. */
function callerInHand({ pid }: ProcessEntry): number | undefined {
  const memory = readFileSync(descriptorOf(pid, "/memfd:hupwatch-call"));
  const id = memory.readBigUInt64LE(0); // struct seccomp_notif
  if (id === 0n) return undefined;
  using open = new DisposableStack();
  const process = open.adopt(pidfdOpen(pid), close);
  const number = Number(basename(descriptorOf(pid, "anon_inode:seccomp notify")));
  const isUnanswered = isNotificationValid(open.adopt(pidfdGetfd(process, number), close), id);
  return isUnanswered ? memory.readUInt32LE(8) : undefined;
}

/** It waits for an answer. */
const isInCall = (tid: number): boolean =>
  readFileSync(`/proc/${tid}/wchan`, "latin1").startsWith("seccomp_do_user_notification");

function descriptorOf(pid: number, target: string): string {
  const paths = openDescriptorNumbers(pid).map((number) => `/proc/${pid}/fd/${number}`);
  return paths.find((path) => readlinkSync(path).startsWith(target)) as string;
}

/** Stopped where it has received a call that it has not answered; nothing of it runs from then on. */
async function stopInCall(keeper: ProcessEntry): Promise<number> {
  return await until(
    async () => {
      killEntry(keeper, "SIGSTOP");
      await until(() => readProcess(keeper.pid)?.state === "T", { what: "the keeper to stand", everyMs: 1 });
      const caller = callerInHand(keeper);
      if (caller === undefined) killEntry(keeper, "SIGCONT");
      return caller;
    },
    { what: "a call in the keeper's hand", everyMs: 1 },
  );
}

const TIMEOUT_MS = 180_000;

/** A service behind its path, under load, whose keeper is killed so often. */
async function underLoad(
  { rounds, more }: { rounds: number; more: number },
  act: (hupwatch: Hupwatch) => Promise<void>,
): Promise<void> {
  using dir = tempDir();
  const at = `${dir.path}/app.sock`;
  const words = ["-k", "-w", "0.2", "--name", "kept", "--handover", "intercept", "-b", `unix:${at}`];
  await using hupwatch = await startHupwatch([...words, "--", "node", "-e", UNLINKS, at, `${more}`], {
    cwd: dir.path,
  });
  await using load = await startLoad({ target: `unix:${at}`, concurrency: 4 });
  for (let round = 1; round <= rounds; round++) {
    await load.more(200);
    await act(hupwatch);
    await load.more(200);
    await until(() => hupwatch.count(/the keeper was killed/) === round, { what: "that to be said" });
  }
  await hupwatch.swap(2);
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
  hupwatch.signal("SIGTERM");
  expect(await hupwatch.exited).toBe(0);
  await hupwatch.assertTreeGone();
}

test(
  "a keeper that is killed is replaced, and no call of the service fails",
  () => underLoad({ rounds: 3, more: 0 }, async (hupwatch) => killEntry(await keeperOf(hupwatch), "SIGKILL")),
  TIMEOUT_MS,
);

// "kill -9 of the keeper under load of an app that unlinks a file in each request, also between receiving and answering a call".
test(
  "killed between receiving a call and answering it, hupwatch goes on answering meanwhile, and that call is answered by the next one",
  () =>
    underLoad({ rounds: 1, more: 2 }, async (hupwatch) => {
      const keeper = await keeperOf(hupwatch);
      const caller = await stopInCall(keeper);
      const { exitCode, stdout } = await cli(["status", "kept"], hupwatch as never);
      expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("serving") });
      expect([callerInHand(keeper), isInCall(caller)]).toEqual([caller, true]);
      killEntry(keeper, "SIGKILL");
      await until(() => !isInCall(caller), { what: "that call to be answered" });
    }),
  TIMEOUT_MS,
);
