/** Reads single options out of a server's own words, as getopt_long(3) and Python's argparse would, and takes them out. Pure. */

/** `-b X`, `-bX`, `--bind X`, `--bind=X`: how many words it is, and the value; undefined where it is another word. */
function optionAt(args: readonly string[], i: number, long: string, short?: string) {
  const word = args[i] ?? "";
  if (word === long || (short && word === short)) return { words: 2, value: args[i + 1] };
  if (word.startsWith(`${long}=`)) return { words: 1, value: word.slice(long.length + 1) };
  if (short && word.startsWith(short) && !word.startsWith("--"))
    return { words: 1, value: word.slice(short.length) };
  return undefined;
}

/** Every value of an option, in order. */
export function valuesOf(args: readonly string[], long: string, short?: string): string[] {
  const found: string[] = [];
  for (let i = 0; i < args.length && args[i] !== "--"; i += 1) {
    const option = optionAt(args, i, long, short);
    if (option?.value !== undefined) found.push(option.value);
    if (option) i += option.words - 1;
  }
  return found;
}

/** The last one counts, as everywhere. */
export const lastValueOf = (args: readonly string[], long: string, short?: string): string | undefined =>
  valuesOf(args, long, short).at(-1);

export const hasFlag = (args: readonly string[], long: string, short?: string): boolean =>
  args.some((word) => word === long || (short !== undefined && word === short));

/** The words without these options and their values. */
export function without(
  args: readonly string[],
  ...options: readonly (readonly [long: string, short?: string | undefined])[]
): string[] {
  const kept: string[] = [];
  for (let i = 0; i < args.length; i += 1) {
    if (args[i] === "--") return [...kept, ...args.slice(i)];
    const at = options.map(([long, short]) => optionAt(args, i, long, short)).find((o) => o !== undefined);
    if (at) i += at.words - 1;
    else kept.push(args[i] as string);
  }
  return kept;
}

/** The words with some more options, before a `--` that ends them. */
export function withMore(args: readonly string[], more: readonly string[]): string[] {
  const end = args.indexOf("--");
  return end < 0 ? [...args, ...more] : [...args.slice(0, end), ...more, ...args.slice(end)];
}
