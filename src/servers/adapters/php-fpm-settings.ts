/** What php-fpm makes of its configuration: its own test prints it (`-tt`), binds nothing and starts nothing. */
import { HupwatchError } from "../../error.ts";
import type { Recognised } from "../reading/recognise.ts";
import { runFirst } from "../reading/running.ts";

export interface Pool {
  listen: string;
  owner?: string | undefined;
  group?: string | undefined;
  /** Octal. */
  mode: string;
}

export interface PhpFpmSettings {
  pidfile: string | undefined;
  pools: Pool[];
}

/** What HUPWATCH_SOCKET is while php-fpm is asked: a pool that listens there takes what it is handed. */
export const ASKED_SOCKET = "/hupwatch-socket";

/** Undefined where it cannot be asked, or refuses its configuration: its start says that better. */
export function askPhpFpm({ front, args, env, ...found }: Recognised): PhpFpmSettings | undefined {
  const own = args.filter((word) => !/^(-D|--daemonize)$/.test(word));
  const trial = { ...found, env: { ...env, HUPWATCH_SOCKET: ASKED_SOCKET } };
  try {
    const ran = runFirst(trial, [...front, ...own, "-tt"], "php-fpm was run to print its configuration");
    return ran.exitCode === 0 ? settingsIn(ran.stderr) : undefined;
  } catch (error) {
    if (error instanceof HupwatchError) return undefined;
    throw error;
  }
}

/** `[date] NOTICE: [www]`, then `[date] NOTICE: \tlisten = /run/fpm.sock` and so on. */
function settingsIn(text: string): PhpFpmSettings {
  const sections: { name: string; values: Map<string, string> }[] = [];
  for (const [, name, key = "", value = ""] of text.matchAll(
    /NOTICE: (?:\[([^\]]+)\]|\t([\w.]+) = (.*))$/gm,
  )) {
    // Where error_log is stderr, each line comes twice.
    if (name !== undefined && name !== sections.at(-1)?.name) sections.push({ name, values: new Map() });
    else if (value !== "undefined") sections.at(-1)?.values.set(key, value);
  }
  return {
    pidfile: sections.find(({ name }) => name === "global")?.values.get("pid"),
    pools: sections
      .filter(({ name }) => name !== "global")
      .map(({ values }) => ({
        listen: values.get("listen") ?? "",
        owner: values.get("listen.owner"),
        group: values.get("listen.group"),
        mode: values.get("listen.mode") ?? "0660",
      })),
  };
}
