/**
 * The tests' client as a process of its own, so that a busy test process does not disturb the load:
 * `bun client-main.ts '{"target": "unix:/tmp/x.sock"}'`. Prints a JSON object a line; SIGTERM or the end of stdin stops
 * it, and the last line is then the report.
 */
import { Client, type ClientOptions } from "./client.ts";

const PROGRESS_EVERY_MS = 20;

const client = new Client(JSON.parse(process.argv[2] ?? "{}") as ClientOptions);
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const stop = Promise.withResolvers<void>();
process.once("SIGTERM", () => stop.resolve());
process.stdin.once("end", () => stop.resolve());
process.stdin.resume();

client.start();
const progress = setInterval(() => {
  const { ok, failed, versions } = client.report;
  const progress = { ok, failed, underWay: client.underWay, versions: Object.keys(versions) };
  say({ progress: { ...progress, atMs: Date.now() } });
}, PROGRESS_EVERY_MS);
await stop.promise;
clearInterval(progress);
const report = await client.stop();
await Bun.write(Bun.stdout, `${JSON.stringify({ report })}\n`);
process.exit(0);
