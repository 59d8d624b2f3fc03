/**
 * Sets of characters of regular expressions, by JavaScript's own: one character at a time, they are safe.
 *
 * @module
 */

/** Whether a character is in a set. */
export type Has = (character: string) => boolean;

/** Whether an escape stands for more than one character. */
export function isClass(source: string): boolean {
  return /^\\[dDsSwWpP]|^\[/.test(source);
}

/** The sets of letters, digits and spaces, which are Unicode's for Python and Oniguruma. */
const MEMBERS: Readonly<Record<string, string>> = {
  "\\s": "\\p{White_Space}",
  "\\S": "\\P{White_Space}",
  "\\d": "\\p{Nd}",
  "\\D": "\\P{Nd}",
  "\\w": "[\\p{L}\\p{M}\\p{N}\\p{Pc}]",
  "\\W": "[^\\p{L}\\p{M}\\p{N}\\p{Pc}]",
};

/** The test of one character against an escape or a set of JavaScript, each of which matches one. */
export function memberOf(
  source: string,
  { fold }: { fold: boolean },
): (character: string) => boolean {
  const members = MEMBERS[source] ?? (source[0] === "[" ? source : `[${source}]`);
  let set: RegExp;
  try {
    set = new RegExp(`^${members}$`, fold ? "iu" : "u");
  } catch {
    throw new Error(`it has ${source}, which is no set of characters`);
  }
  return (character) => set.test(character);
}

/** A property of Unicode as JavaScript names it. */
export function property(letter: string, negative: boolean, name: string): string {
  const isNegative = negative !== (letter === "P");
  const known = name.replaceAll(" ", "_");
  for (const form of [known, `Script=${known}`]) {
    try {
      new RegExp(`\\p{${form}}`, "u");
      return `\\${isNegative ? "P" : "p"}{${form}}`;
    } catch {
      // Scripts need their prefix.
    }
  }
  return posix(name.toLowerCase(), isNegative);
}

/** The named sets of POSIX. */
export function posix(name: string, negative: boolean): string {
  const sets: Record<string, string> = {
    alpha: "\\p{Alphabetic}",
    alnum: "\\p{Alphabetic}\\p{Nd}",
    digit: "\\p{Nd}",
    lower: "\\p{Lowercase}",
    upper: "\\p{Uppercase}",
    space: "\\p{White_Space}",
    blank: "\\t\\p{Zs}",
    punct: "\\p{P}\\p{S}",
    cntrl: "\\p{Cc}",
    word: "\\p{L}\\p{M}\\p{N}\\p{Pc}",
    xdigit: "0-9A-Fa-f",
    graph: "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}",
    print: "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Zs}",
    ascii: "\\x00-\\x7f",
  };
  if (!Object.hasOwn(sets, name)) throw new Error(`it has the unknown set ${name}`);
  return `[${negative ? "^" : ""}${sets[name]}]`;
}

/** A character as JavaScript reads it in an expression. */
export function escaped(character: string): string {
  return /[\^$\\.*+?()[\]{}|/-]/.test(character) ? `\\${character}` : character;
}
