/**
 * The outside of a cell: the supervisor in one container, the load in another, the socket on a volume or the port on a
 * network that both have. Owns all of them; disposing of it leaves nothing in the engine.
 */
import { tempDir } from "../../test/harness/temp-dir.ts";
import { type Column, PORT } from "./columns.ts";
import { begin, type Done, docker, must, run } from "./command.ts";
import { filesOf } from "./fixture.ts";
import { imageOf } from "./images.ts";
import type { Row } from "./matrix.ts";
import type { Load, Place } from "./place.ts";
import { PLACE } from "./places.ts";

/** On everything that this run makes in the engine. */
export const LABEL = `hupwatch.rig.run=${crypto.randomUUID()}`;

/** Removes what this run has in the engine, for a run that is broken off. */
export async function removeAll(): Promise<void> {
  const kinds = [
    { list: ["ps", "--all"], remove: ["rm", "--force", "--volumes"] },
    { list: ["volume", "ls"], remove: ["volume", "rm"] },
    { list: ["network", "ls"], remove: ["network", "rm"] },
  ];
  for (const { list, remove } of kinds) {
    const ours = await run(["docker", ...list, "--quiet", "--filter", `label=${LABEL}`]);
    const ids = ours.stdout.split("\n").filter(Boolean);
    if (ids.length > 0) await run(["docker", ...remove, ...ids]);
  }
}

export async function startContainer(row: Row, server: Column): Promise<Place> {
  const id = `hupwatch-rig-${crypto.randomUUID().slice(0, 8)}`;
  const container = new Container(id, row, server);
  try {
    await container.start();
  } catch (error) {
    await container[Symbol.asyncDispose]();
    throw error;
  }
  return container;
}

class Container implements Place {
  #loads = 0;

  constructor(
    private readonly id: string,
    private readonly row: Row,
    private readonly server: Column,
  ) {}

  async start(): Promise<void> {
    const { id, row } = this;
    const mark = ["--label", LABEL];
    await docker(["network", "create", ...mark, id]);
    await docker(["volume", "create", ...mark, id]);
    const [entrypoint = "", ...rest] = row.first(this.server);
    const words = [
      ...["create", "--name", id, ...mark, "--network", id, "--volume", `${id}:${PLACE}`],
      ...(row.options ?? []),
      ...Object.entries(row.env ?? {}).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
      ...["--entrypoint", entrypoint, imageOf(row.image), ...rest],
    ];
    await docker(words);
    await this.#put(filesOf(row, this.server));
    await docker(["start", id]);
  }

  async #put(files: { path: string; text: string }[]): Promise<void> {
    if (files.length === 0) return;
    using dir = tempDir();
    for (const { path, text } of files) await Bun.write(`${dir.path}${path}`, text);
    // All may be run: it is the supervisor that decides which ones are.
    const tar = ["tar", "-C", dir.path, "--owner=0", "--group=0", "--mode=755", "-c"];
    const words = [...tar, ...files.map(({ path }) => path.slice(1))];
    await must(["sh", "-c", `${words.join(" ")} | docker cp - ${this.id}:/`]);
  }

  exec(words: readonly string[]): Promise<Done> {
    return run(["docker", "exec", this.id, ...words], { timeoutMs: 120_000 });
  }

  async signal(name: string): Promise<void> {
    await docker(["kill", "--signal", name, this.id]);
  }

  async log(): Promise<string> {
    const [own, files] = await Promise.all([
      run(["docker", "logs", this.id]),
      run([
        "docker",
        "exec",
        this.id,
        ...(this.row.showLog ?? ["sh", "-c", `cat ${PLACE}/*.log 2>/dev/null`]),
      ]),
    ]);
    return `${own.stdout}${own.stderr}${files.stdout}`;
  }

  async stop(graceSeconds: number): Promise<number> {
    await docker(["stop", "--time", String(graceSeconds), this.id], {
      timeoutMs: (graceSeconds + 60) * 1000,
    });
    return Number(await docker(["inspect", "--format", "{{.State.ExitCode}}", this.id]));
  }

  async wholeMb(): Promise<number[]> {
    const used = await docker(["stats", "--no-stream", "--format", "{{.MemUsage}}", this.id]);
    const [, number, unit = ""] = /^([\d.]+)([KMG]i?B)/.exec(used) ?? [];
    const factors: Record<string, number> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
    const factor = factors[unit];
    if (number === undefined || factor === undefined) throw new Error(`docker stats says '${used}'`);
    return [(Number(number) * factor) / 1e6];
  }

  load(options: readonly string[]): Load {
    const name = `${this.id}-load-${++this.#loads}`;
    const target = this.server.transport === "unix" ? `unix:${PLACE}/app.sock` : `http://${this.id}:${PORT}/`;
    const own = ["run", "--rm", "--name", name, "--label", LABEL, "--network", this.id];
    const words = [
      ...own,
      "--volume",
      `${this.id}:${PLACE}`,
      "--entrypoint",
      "hupwatch",
      imageOf("hupwatch"),
    ];
    const load = ["load", "--json", ...options, target];
    const running = begin(["docker", ...words, ...load], { timeoutMs: 3_600_000 });
    return {
      ...running,
      async end() {
        await run(["docker", "kill", "--signal", "TERM", name]);
        return running.done;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { id } = this;
    const ours = await run(["docker", "ps", "--all", "--quiet", "--filter", `name=^${id}`]);
    const containers = ours.stdout.split("\n").filter(Boolean);
    if (containers.length > 0) await run(["docker", "rm", "--force", "--volumes", ...containers]);
    await run(["docker", "volume", "rm", "--force", id]);
    await run(["docker", "network", "rm", id]);
  }
}
