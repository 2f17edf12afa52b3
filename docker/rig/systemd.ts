/**
 * What a real systemd and hupwatch say to each other, a scene at a time, each in a container of its own with the unit of
 * fixtures/supervisors, to which a scene adds a few lines. Deploys below every server are the matrix's.
 */
import { slowRequest } from "./cell.ts";
import { GUNICORN_UNIX } from "./columns.ts";
import { startContainer } from "./container.ts";
import type { Extra } from "./grid.ts";
import { ROWS } from "./matrix.ts";
import { Unit } from "./systemd-unit.ts";

interface Scene {
  name: string;
  /** Lines of [Service]. */
  settings: readonly string[];
  /** Returns what was seen. */
  act(unit: Unit): Promise<string>;
}

const SCENES: readonly Scene[] = [
  {
    name: "start waits for READY=1",
    settings: ["Environment=APP_BOOT_SECONDS=5"],
    async act(unit) {
      const started = unit.do("systemctl", "start", "app");
      await unit.until("StatusText", /^starting generation 1$/);
      await unit.expect("ActiveState", /^activating$/);
      await started;
      await unit.expect("StatusText", /^generation 1 serves$/);
      const { code, stderr } = await unit.place.load(["--requests", "10"]).done;
      if (code !== 0) throw new Error(`not answered at once: ${stderr}`);
      return "activating while it boots; active, and it answers";
    },
  },
  {
    name: "start fails with a broken release",
    settings: ["Restart=no"],
    async act(unit) {
      await unit.breakRelease();
      const { code } = await unit.try("systemctl", "start", "app");
      if (code === 0) throw new Error("systemctl start: exit code 0");
      await unit.expect("Result", /^exit-code$/);
      await unit.expect("StatusText", /^stopped: the command exited with code \d/);
      return `exit code ${code}, and the reason in the status`;
    },
  },
  {
    name: "EXTEND_TIMEOUT_USEC in a long boot",
    settings: ["TimeoutStartSec=3", "Environment=APP_BOOT_SECONDS=8"],
    async act(unit) {
      await unit.do("systemctl", "start", "app");
      await unit.expect("NRestarts", /^0$/);
      const readyMs = (await unit.status()).generations[0]?.readyMs ?? 0;
      if (readyMs < 8000) throw new Error(`the boot took ${readyMs} ms`);
      return `ready after ${(readyMs / 1000).toFixed(1)} s with TimeoutStartSec=3`;
    },
  },
  {
    name: "reload waits, and fails after a rollback",
    settings: [],
    act: (unit) => deploys(unit, 1),
  },
  {
    name: "reload with Type=notify-reload waits",
    settings: ["Type=notify-reload", "ExecReload="],
    // systemd has no way to be told that a reload failed.
    act: (unit) => deploys(unit, 0),
  },
  {
    name: "stop leaves, start takes over, hupwatch stop ends it",
    settings: [],
    async act(unit) {
      await unit.do("systemctl", "start", "app");
      await unit.imported("1");
      const load = await unit.underLoad(["1", "2"], async () => {
        await unit.do("systemctl", "stop", "app");
        await unit.expect("ActiveState", /^inactive$/);
        await unit.expect("StatusText", /^left generation 1 running \(pid \d+\)/);
        await unit.release("2");
        await unit.do("systemctl", "start", "app");
        await unit.expect("StatusText", /^generation 2 serves$/);
      });
      const slow = await slowRequest(unit.place);
      const stopped = unit.do("hupwatch", "stop");
      await unit.until("ActiveState", /^deactivating$/); // STOPPING=1
      await stopped;
      const { code } = await slow.done;
      if (code !== 0) throw new Error("the request in flight at hupwatch stop was cut");
      await unit.until("ActiveState", /^inactive$/);
      await unit.expect("Result", /^success$/);
      const left = await unit.shell("grep -l '^Name:.*gunicorn' /proc/[0-9]*/status || true");
      if (left) throw new Error(`left: ${left}`);
      return `${load}; the request in flight at the end was answered, nothing is left`;
    },
  },
  {
    name: "a socket unit",
    settings: [],
    async act(unit) {
      await unit.do("systemctl", "start", "app.socket");
      await unit.expect("ActiveState", /^inactive$/);
      const { code, stderr } = await unit.place.load(["--requests", "10"]).done;
      if (code !== 0) throw new Error(`the first clients were not answered: ${stderr}`);
      await unit.expect("ActiveState", /^active$/);
      await unit.imported("1");
      const [socket] = (await unit.status()).sockets;
      if (socket?.name !== "web" || socket.cutover !== "share") throw new Error(JSON.stringify(socket));
      const deploys = async () => {
        await deploy(unit, "2", "reload");
        await deploy(unit, "3", "restart");
      };
      // Whose listener is one, both generations accept from during the warm-up.
      const load = await unit.underLoad(["1", "2", "3"], deploys, "mixed");
      return `started by its first client, which waited; reload and restart: ${load}`;
    },
  },
  {
    name: "the watchdog",
    settings: ["WatchdogSec=2"],
    async act(unit) {
      await unit.do("systemctl", "start", "app");
      await unit.imported("1");
      const load = await unit.underLoad(["1", "2"], async () => {
        const beat = async () => Number(await unit.show("WatchdogTimestampMonotonic"));
        const first = await beat();
        while ((await beat()) < first + 6_000_000) await Bun.sleep(500);
        await unit.expect("NRestarts", /^0$/);
        await unit.release("2");
        await unit.shell(`kill -STOP ${await unit.show("MainPID")}`);
        await unit.until("NRestarts", /^1$/);
        await unit.until("StatusText", /^generation 2 serves$/);
        await unit.expect("ActiveState", /^active$/);
      });
      return `a hupwatch that hangs is replaced, ${load}`;
    },
  },
];

/** A good, a broken and a good release; `failed` is what systemctl says of the broken one. */
async function deploys(unit: Unit, failed: number): Promise<string> {
  await unit.do("systemctl", "start", "app");
  await unit.imported("1");
  const load = await unit.underLoad(["1", "2", "3"], async () => {
    await deploy(unit, "2", "reload");
    await unit.expect("StatusText", /^generation 2 serves$/);
    await unit.breakRelease();
    const { code } = await unit.try("systemctl", "reload", "app");
    if (code !== failed) throw new Error(`systemctl reload of a broken release: exit code ${code}`);
    await unit.expect("StatusText", /^generation 2 serves; rolled back: generation 3 exited with code \d/);
    await unit.expect("ActiveState", /^active$/);
    await deploy(unit, "3", "reload");
    const shown = await unit.do("systemctl", "status", "app", "--no-pager");
    if (!shown.includes('Status: "generation 4 serves"')) throw new Error(shown);
    const errors = await unit.do("journalctl", "--unit=app", "--priority=err", "--output=cat", "--no-pager");
    // systemd may add that the reload failed.
    if (!/^rolled back: generation 3 exited with code .*\n(Reload failed .*\n)?$/.test(errors))
      throw new Error(errors);
  });
  return `exit codes 0, ${failed}, 0; ${load}`;
}

/** The new release serves when systemctl returns, and not later. */
async function deploy(unit: Unit, version: string, how: "reload" | "restart"): Promise<void> {
  await unit.release(version);
  await unit.do("systemctl", how, "app");
  await unit.expect("StatusText", /^generation \d+ serves$/);
  await unit.imported(version);
}

const nameOf = (scene: Scene): string => `systemd: ${scene.name}`;

/** Which ones `--only` means; all without it. */
export const scenesFor = (only: readonly string[] | undefined): readonly Scene[] =>
  SCENES.filter((scene) => only === undefined || only.some((text) => nameOf(scene).includes(text)));

export async function tryScene(scene: Scene, say: (line: string) => void): Promise<Extra> {
  const outcome = await outcomeOf(scene);
  const name = nameOf(scene);
  say(`${name}: ${outcome.kind}`);
  if (outcome.kind === "red") say(outcome.faults.join("\n"));
  return { name, outcome };
}

const LOG_TAIL = 3000;

async function outcomeOf(scene: Scene): Promise<Extra["outcome"]> {
  const fault = (error: unknown, log = ""): Extra["outcome"] => {
    const said = error instanceof Error ? error.message : String(error);
    return { kind: "red", faults: [`${said}\n${log.slice(-LOG_TAIL)}`.trim()] };
  };
  const row = ROWS.find(({ name }) => name === "systemd");
  if (!row) return fault("the matrix has no systemd");
  try {
    await using place = await startContainer(row, GUNICORN_UNIX);
    try {
      const unit = new Unit(place);
      await unit.prepare(scene.settings);
      return { kind: "green", said: await scene.act(unit) };
    } catch (error) {
      return fault(error, await place.log());
    }
  } catch (error) {
    return fault(error);
  }
}
