/**
 * The many spellings of one option. Parsers take unique prefixes of long options (getopt_long(3), Python's argparse and getopt, Ruby's
 * optparse), an equals sign behind a short one (argparse), and flags that are joined with what follows (`-Dw2`). Written out,
 * everything else reads one spelling. Pure.
 */
export interface Spelling {
  /** The long options that the adapter reads: a word that begins like one of them, and like no other, is that one. */
  longs: readonly string[];
  /** Short options without a value, which may stand joined in front of another one. */
  flags?: string;
  /** Short options whose value may follow an equals sign that is not part of it. */
  dropsEquals?: string;
}

/** The same words as the server would understand them, each option in its full name and by itself; nothing behind `--` is touched. */
export function spelledOut(args: readonly string[], spelling: Spelling): string[] {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  return [...own.flatMap((word) => spelledOutWord(word, spelling)), ...(end < 0 ? [] : args.slice(end))];
}

function spelledOutWord(word: string, spelling: Spelling): string[] {
  if (word.startsWith("--")) return [longWord(word, spelling.longs)];
  if (word.startsWith("-") && word.length > 2) return shortWords(word, spelling);
  return [word];
}

function longWord(word: string, longs: readonly string[]): string {
  const [, name = word, value = ""] = /^([^=]+)(=.*)?$/s.exec(word) ?? [];
  if (name.length < 3 || longs.includes(name)) return word;
  const meant = longs.filter((long) => long.startsWith(name));
  return meant.length === 1 ? `${meant[0]}${value}` : word;
}

function shortWords(word: string, { flags = "", dropsEquals = "" }: Spelling): string[] {
  const [, letter = "", rest = ""] = /^-(.)(.+)$/s.exec(word) ?? [];
  if (dropsEquals.includes(letter) && rest.startsWith("=")) return [`-${letter}${rest.slice(1)}`];
  if (!flags.includes(letter)) return [word];
  return [`-${letter}`, ...spelledOutWord(`-${rest}`, { longs: [], flags, dropsEquals })];
}
