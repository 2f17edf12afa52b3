/** The service as systemd has it, in a container whose first process a real systemd is: asked and told by systemctl(1). */
import type { StatusAnswer } from "../../src/control/protocol.ts";
import type { LoadReport } from "../../src/load/result.ts";
import { until } from "../../test/harness/until.ts";
import type { Done } from "./command.ts";
import type { Place } from "./place.ts";
import { PLACE } from "./places.ts";

const DROP_IN = "/etc/systemd/system/app.service.d/scene.conf";
/** gunicorn's in the unit file: each imports the application for itself. */
const WORKERS = 2;
const RATE = 150;
const TIMEOUT_MS = 60_000;

export class Unit {
  constructor(readonly place: Place) {}

  /** Ends what the boot has started, and lays `settings` of [Service] over the unit's own for the next start. */
  async prepare(settings: readonly string[]): Promise<void> {
    // systemd itself is not there yet.
    const booted = async () => (await this.try("systemctl", "is-active", "app")).code === 0;
    await until(booted, { what: "the boot", timeoutMs: TIMEOUT_MS, everyMs: 200 });
    await this.do("hupwatch", "stop");
    await this.until("ActiveState", /^inactive$/);
    await this.shell(`rm -f ${PLACE}/app.sock; mkdir -p $(dirname ${DROP_IN})`);
    await this.shell(`echo '${["[Service]", ...settings].join("\n")}' > ${DROP_IN}`);
    await this.do("systemctl", "daemon-reload");
  }

  /** Its outcome, good or bad. */
  try(...words: string[]): Promise<Done> {
    return this.place.exec(words);
  }

  /** Its standard output; throws where it fails. */
  async do(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...words);
    if (code !== 0) throw new Error(`exit code ${code} of ${words.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  shell(script: string): Promise<string> {
    return this.do("sh", "-c", script);
  }

  async show(property: string): Promise<string> {
    return (await this.do("systemctl", "show", "app", "--value", "--property", property)).trim();
  }

  /** Throws where it is anything else at present. */
  async expect(property: string, wanted: RegExp): Promise<void> {
    const value = await this.show(property);
    if (!wanted.test(value)) throw new Error(`${property} is '${value}', not ${wanted}`);
  }

  async until(property: string, wanted: RegExp): Promise<void> {
    const look = async () => wanted.test(await this.show(property));
    await until(look, { what: `${property} to be ${wanted}`, timeoutMs: TIMEOUT_MS, everyMs: 100 });
  }

  async status(): Promise<StatusAnswer> {
    const [status] = JSON.parse(await this.do("hupwatch", "status", "--json")) as StatusAnswer[];
    if (!status) throw new Error("no status");
    return status;
  }

  async release(version: string): Promise<void> {
    await this.shell(
      `cd ${PLACE} && echo ${version} > VERSION && if [ -e wsgi.off ]; then mv wsgi.off wsgi.py; fi`,
    );
  }

  /** The next generation will not find its application. */
  async breakRelease(): Promise<void> {
    await this.shell(`cd ${PLACE} && mv wsgi.py wsgi.off`);
  }

  /** A worker that is late would read the VERSION of the next release. */
  async imported(version: string): Promise<void> {
    const line = new RegExp(`version ${version} ready`, "g");
    const all = async () => ((await this.place.log()).match(line)?.length ?? 0) >= WORKERS;
    await until(all, { what: `${WORKERS} x ${line}`, timeoutMs: TIMEOUT_MS, everyMs: 200 });
  }

  /** One fresh connection after the other while `act` goes on; throws where one was lost or another version answered. */
  async underLoad(
    versions: readonly string[],
    act: () => Promise<void>,
    order: "one after the other" | "mixed" = "one after the other",
  ): Promise<string> {
    const load = this.place.load(["--mode", "fresh", "--rate", String(RATE), "--duration", "1h"]);
    const early = load.done.then(({ code, stderr }) => {
      throw new Error(`the load ended by itself with code ${code}: ${stderr}`);
    });
    early.catch(() => {}); // its end is asked for below
    try {
      await Promise.race([Bun.sleep(2000).then(act), early]);
      await Bun.sleep(500);
    } finally {
      await load.end();
    }
    const { stdout } = await load.done;
    const {
      started,
      ok,
      failed,
      failures,
      versions: seen,
      versionRegressions,
    } = JSON.parse(stdout) as LoadReport;
    if (ok === 0 || failed > 0)
      throw new Error(`${failed} of ${started} requests dropped: ${JSON.stringify(failures)}`);
    const names = seen.map(({ version }) => version).join(", ");
    if (names !== versions.join(", ") || (versionRegressions > 0 && order !== "mixed"))
      throw new Error(
        `versions ${names} answered (${versionRegressions} times an older one), not ${versions.join(", ")}`,
      );
    return `0 of ${started} requests dropped`;
  }
}
