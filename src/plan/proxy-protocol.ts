/**
 * With the PROXY protocol (haproxy's proxy-protocol.txt) the first line of a connection names its client. A kept connection would not
 * repeat it: its old server has read it. Many servers answer without that line, too, and then take the sender for the client (gunicorn, puma,
 * uWSGI, Caddy): a client from elsewhere would become one of this machine.
 */
import { resolve } from "node:path";
import { configText } from "../servers/reading/config-text.ts";
import { givenEnvironment } from "./environment.ts";
import type { RunPlan } from "./run-plan.ts";

const MENTION = /proxy[-_ ]?proto/i;
/** Configuration is smaller, programs are most often larger. */
const FILE_BYTES_MAX = 256 * 1024;

type Command = Pick<RunPlan, "words" | "configFiles" | "directory"> & Parameters<typeof givenEnvironment>[0];

/** What speaks of it, as it is now: a word, a variable, or a file that is named by a word or read unasked. Undefined: nothing. */
export function proxyProtocolIn(plan: Command): string | undefined {
  return (
    plan.words.find((word) => MENTION.test(word)) ??
    Object.entries(environmentOf(plan)).find((variable) => MENTION.test(variable.join("=")))?.[0] ??
    [...plan.configFiles, ...plan.words.map(fileOf)].find((file) => mentions(resolve(plan.directory, file)))
  );
}

/** An env file that cannot be read is a start's business. */
function environmentOf(plan: Command): Record<string, string> {
  try {
    return givenEnvironment(plan);
  } catch {
    return plan.environment;
  }
}

/** `--config=FILE`, and gunicorn's `file:FILE`. */
const fileOf = (word: string): string => word.replace(/^--?[\w-]+=/, "").replace(/^file:/, "");

const mentions = (path: string): boolean => MENTION.test(configText(path, FILE_BYTES_MAX) ?? "");
