/**
 * Reads a command line by a table of flags.
 *
 * @module
 */

import { showJson } from "../io/json.ts";
import { UsageError } from "./errors.ts";
import {
  type Flag,
  type FlagTable,
  type FlagValues,
  kebabCase,
  type OnHint,
  readFlag,
} from "./flags.ts";
import { nearest } from "./nearest.ts";

/** Letters of a word that a message shows. */
const SHOWN = 80;

/** What a word of the command line that begins with a dash stands for. */
interface Spelling {
  /** The flag. */
  name: string;
  /** As it is called now, and as this word calls it. */
  current: string;
  used: string;
  /** What it means as it stands; null for a flag that has a value. */
  switched: boolean | null;
}

/** What was given for a flag. */
interface Given {
  spelling: Spelling;
  value: unknown;
}

/**
 * Reads a command line by a table. A flag has its value behind `=` or as the next word; of a flag that is
 * there several times the last one counts, unless it collects. Behind `--` no word is a flag.
 *
 * @param onHint Is told of flags that were given by an earlier name.
 * @returns The values of the flags that are there, and the words that belong to none.
 * @throws {UsageError} for an unknown flag, one that is given under two names, or a value of the
 * wrong kind.
 */
export function parseFlags<F extends FlagTable>(
  args: readonly string[],
  flags: F,
  onHint: OnHint = () => {},
): { values: FlagValues<F>; words: string[] } {
  const spellings = spellingsOf(flags);
  const given = new Map<string, Given>();
  const words: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--") {
      words.push(...args.slice(i + 1));
      break;
    }
    if (!args[i].startsWith("-") || args[i] === "-") {
      words.push(args[i]);
      continue;
    }
    const [, word, assigned] = args[i].match(/^([^=]*)(?:=(.*))?$/s)!;
    const spelling = spellings.get(word);
    if (!spelling) throw noSuchFlag(word, Object.keys(flags));
    const takesNext = spelling.switched === null && assigned === undefined &&
      i + 1 < args.length && !args[i + 1].startsWith("--"); // but -1 is a value, and so is -
    add(given, spelling, valueOf(word, spelling, takesNext ? args[++i] : assigned), flags);
  }
  const values: Record<string, unknown> = {};
  for (const [name, { spelling: { current, used }, value }] of given) {
    if (used !== current) onHint(`--${used} is called --${current} now`);
    values[name] = readFlag(flags[name], value, `--${used}`);
  }
  return { values: values as FlagValues<F>, words };
}

/** Every word that stands for a flag. */
function spellingsOf(flags: FlagTable): Map<string, Spelling> {
  const spellings = new Map<string, Spelling>();
  for (const [name, { alias = [], placeholder }] of Object.entries<Flag<unknown>>(flags)) {
    const current = kebabCase(name);
    for (const used of [name, ...alias].map(kebabCase)) {
      const spelling = { name, current, used };
      if (placeholder !== null) {
        spellings.set(`--${used}`, { ...spelling, switched: null });
      } else {
        spellings.set(`--${used}`, { ...spelling, switched: true });
        spellings.set(`--no-${used}`, { ...spelling, switched: false });
      }
    }
  }
  const help = spellings.get("--help");
  return help ? spellings.set("-h", help) : spellings;
}

/** The value that a flag is given; a switch may spell it out, as in `--packing=false`. */
function valueOf(word: string, { switched }: Spelling, text?: string): string | boolean {
  if (switched === null) return text ?? "";
  if (text === undefined) return switched;
  if (switched && (text === "true" || text === "false")) return text === "true";
  throw new UsageError(`${word} takes no value: leave ${showJson(`=${text}`)} out`);
}

function add(
  given: Map<string, Given>,
  spelling: Spelling,
  value: string | boolean,
  flags: FlagTable,
): void {
  const { name, current, used } = spelling;
  const before = given.get(name);
  if (before && before.spelling.used !== used) {
    const earlier = used === current ? before.spelling.used : used;
    throw new UsageError(`--${earlier} is called --${current} now: give one of the two`);
  }
  const values = (before?.value ?? []) as unknown[];
  given.set(name, { spelling, value: flags[name].collects ? [...values, value] : value });
}

function noSuchFlag(word: string, names: readonly string[]): UsageError {
  const shown = word.slice(0, SHOWN);
  const known = nearest(shown.replace(/^-+(no-)?/, ""), names.map(kebabCase));
  const remedy = known === null ? "--help lists those there are" : `did you mean --${known}?`;
  return new UsageError(`There is no flag ${shown}: ${remedy}`);
}
