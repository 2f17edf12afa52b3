/** Builds oha, which `bun run bench --scale --only clients` has a row for: `bun test/setup/oha.ts`. It takes many minutes. */
import { buildOha } from "./build-servers.ts";

await buildOha();
