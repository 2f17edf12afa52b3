/** The options of uWSGI's config files, written out as words: everything else reads words. Pure but for the files. */
import { basename, dirname, resolve } from "node:path";
import { configText } from "../reading/config-text.ts";
import { valuesOf } from "../reading/options.ts";
import type { Recognised } from "../reading/recognise.ts";

export interface UwsgiConfig {
  /** `--key=value`, in the order of the files; of an option without a value `--key`. */
  words: string[];
  names: string[];
  /** Why `words` may not be all: what in the files only uWSGI can tell. */
  unknown?: string | undefined;
}

const CONFIG_OPTIONS = [
  ["--ini"],
  ["--yaml", "-y"],
  ["--yml"],
  ["--xml", "-x"],
  ["--xmlconfig"],
  ["--json", "-j"],
  ["--js"],
] as const;
/** In a config file, another one (core/ini.c, core/uwsgi.c). */
const INCLUDING = /^(include|ini|yaml|yml|xml|json|inherit)$/;
/** Only uWSGI knows which lines behind them count (core/logic.c). */
const LOGIC = /^(if|for|for-glob|for-times|for-readline)(-[a-z]+)*$/;
const DEPTH_MAX = 8;

export function configOf({ args, directory, env }: Recognised): UwsgiConfig {
  const bare = args.filter((word) => /^[^-].*\.(ini|ya?ml|xml|json|js)(:\w+)?$/.test(word));
  const given = [...CONFIG_OPTIONS.flatMap(([long, short]) => valuesOf(args, long, short)), ...bare];
  const config: UwsgiConfig = { words: [], names: [] };
  for (const name of new Set(given)) read(config, resolve(directory, name), env, 0);
  return config;
}

/** What cannot be read uWSGI itself says better. */
function read(config: UwsgiConfig, named: string, env: Recognised["env"], depth: number): void {
  const path = named.replace(/:\w*$/, "");
  const text = configText(path);
  if (text === undefined) return;
  const name = basename(path);
  config.names.push(name);
  for (const [key, written] of optionsIn(path, text)) {
    const value = filled(written, path, env, config.words);
    if (LOGIC.test(key)) config.unknown ??= `${name} has '${key}', which only uWSGI can evaluate`;
    else if (value === undefined) config.unknown ??= `${name} has '${key} = ${written}', which uWSGI fills`;
    else if (INCLUDING.test(key) && depth < DEPTH_MAX)
      read(config, resolve(dirname(path), value), env, depth + 1);
    else config.words.push(value === "" || value === "true" ? `--${key}` : `--${key}=${value}`);
  }
}

/** `key = value`; `key: value`, `<key>value</key>`, `<key/>`, `"key": "value"`. What is commented out does not count. */
function optionsIn(path: string, text: string): [key: string, value: string][] {
  const line = path.endsWith(".ini")
    ? /^[ \t]*([a-z][\w-]*)[ \t]*=[ \t]*(.*?)[ \t]*$/gm
    : /(?:^[ \t]*|[{,<]\s*)["<]?([a-z][\w-]*)"?\s*[:>]\s*["']?([^"'<,}\n]*?)["']?[ \t]*(?=[<,}\n]|$)/gm;
  return [...text.matchAll(line)].map(([, key = "", value = ""]) => [key, value]);
}

/** Magic variables and placeholders, as far as they are known here; undefined where one is not. */
function filled(
  value: string,
  path: string,
  env: Recognised["env"],
  before: readonly string[],
): string | undefined {
  const name = basename(path);
  const magic: Record<string, string> = {
    ...{ d: `${dirname(path)}/`, p: path, s: name, n: name.replace(/\.[^.]*$/, ""), "%": "%" },
  };
  const known = (key: string) => valuesOf(before, `--${key}`).at(-1);
  let isKnown = true;
  const text = value.replace(
    /%\(([\w-]+)\)|\$\((\w+)\)|%(.)|@\(.*\)/g,
    (_, placeholder, variable, letter) => {
      const found = placeholder ? known(placeholder) : variable ? env[variable] : magic[letter ?? ""];
      if (found === undefined) isKnown = false;
      return found ?? "";
    },
  );
  return isKnown ? text : undefined;
}
