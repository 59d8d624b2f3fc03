/**
 * Changes text: characters, words and lines are left out, doubled, swapped and replaced.
 *
 * @module
 */

import type { FuzzRandom } from "./random.ts";

const PIECES = [
  ...[
    "",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u001b[2J",
    "\ufeff",
    "\u2028",
    "\ud83d",
    "é",
    "日本",
    "👩‍🚀",
    "İ",
  ],
  ...[
    '"',
    '""',
    "'",
    "`",
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    ";",
    "<",
    ">",
  ],
  ...[
    "null",
    "true",
    "NaN",
    "Infinity",
    "-",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "0x10",
    "1_0",
  ],
  ...[
    "__proto__",
    "constructor",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "&",
    "*",
    "#",
    "---",
    "|",
    "~",
    "/",
    "../",
  ],
];

/**
 * A changed copy of one of the seeds.
 *
 * @param words Are put in besides pieces that trouble most parsers.
 */
export function mutateText(
  random: FuzzRandom,
  seeds: readonly string[],
  words: readonly string[] = [],
): string {
  let text = random.pick(seeds);
  for (let count = random.few(); count > 0; count--) text = change(random, text, seeds, words);
  return text;
}

function change(
  random: FuzzRandom,
  text: string,
  seeds: readonly string[],
  words: readonly string[],
): string {
  const at = random.below(text.length + 1);
  const length = random.chance(0.8) ? random.between(1, 8) : random.below(text.length + 1);
  const rest = text.slice(at + length);
  const piece = () =>
    words.length > 0 && random.chance(0.6) ? random.pick(words) : random.pick(PIECES);
  switch (random.below(10)) {
    case 0: // left out
      return text.slice(0, at) + rest;
    case 1: // cut
      return random.chance(0.7) ? text.slice(0, at) : text.slice(at);
    case 2:
      return text.slice(0, at) + piece() + text.slice(at);
    case 3:
      return text.slice(0, at) + piece() + rest;
    case 4: // twice, or many times
      return text.slice(0, at + length) +
        text.slice(at, at + length).repeat(random.chance(0.1) ? random.below(40) : 1) + rest;
    case 5: { // of another
      const other = random.pick(seeds);
      const from = random.below(other.length + 1);
      return text.slice(0, at) + other.slice(from, from + length) + rest;
    }
    case 6: { // swapped
      const middle = text.slice(at, at + length);
      return text.slice(0, at) + rest.slice(0, 1) + middle + rest.slice(1);
    }
    case 7: // another character
      return text.slice(0, at) +
        String.fromCharCode(random.below(random.chance(0.8) ? 128 : 65536)) +
        text.slice(at + 1);
    case 8:
      return mutateLines(random, text);
    default: // a number
      return text.replace(
        /\d+(\.\d+)?/,
        (number) =>
          random.pick([
            "-1",
            "0",
            "1e300",
            "1e-300",
            `${number}0`,
            `-${number}`,
            `${number}.5`,
            "4294967296",
          ]),
      );
  }
}

/** Lines left out, doubled, swapped, joined. */
export function mutateLines(random: FuzzRandom, text: string): string {
  const lines = text.split("\n");
  const at = random.below(lines.length);
  const other = random.below(lines.length);
  switch (random.below(6)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(at, 0, lines[other]);
      break;
    case 2:
      [lines[at], lines[other]] = [lines[other], lines[at]];
      break;
    case 3: // joined with the next
      lines.splice(at, 2, lines[at] + (lines[at + 1] ?? ""));
      break;
    case 4: // indented otherwise
      lines[at] = random.pick(["", " ", "  ", "\t"]) + lines[at].trimStart();
      break;
    default:
      lines.splice(at, 0, random.pick(["", " ", "\r", "\0"]));
  }
  return lines.join("\n");
}
