/** Reads single options out of a server's own words, as getopt_long(3) and Python's argparse would. Pure. */

/** Every value of an option, in order: `-b X`, `-bX`, `--bind X`, `--bind=X`. */
export function valuesOf(args: readonly string[], long: string, short?: string): string[] {
  const found: string[] = [];
  for (let i = 0; i < args.length; i += 1) {
    const word = args[i] ?? "";
    if (word === "--") break;
    if (word === long || (short && word === short)) {
      const value = args[i + 1];
      if (value !== undefined) found.push(value);
      i += 1;
    } else if (word.startsWith(`${long}=`)) found.push(word.slice(long.length + 1));
    else if (short && word.startsWith(short) && !word.startsWith("--")) found.push(word.slice(short.length));
  }
  return found;
}

/** The last one counts, as everywhere. */
export const lastValueOf = (args: readonly string[], long: string, short?: string): string | undefined =>
  valuesOf(args, long, short).at(-1);

export const hasFlag = (args: readonly string[], long: string, short?: string): boolean =>
  args.some((word) => word === long || (short !== undefined && word === short));
