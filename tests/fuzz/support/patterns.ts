/**
 * Regular expressions and what they are made of, for targets that change them.
 *
 * @module
 */

/** Expressions that files have, and some that should not be run. */
export const PATTERNS: readonly string[] = [
  String.raw`'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String.raw`(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`[^\r\n]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s)?|\p{N}{1,3}`,
  String.raw`\d{1,3}(?=(?:\d{3})*\b)`,
  String.raw`(\[[^\]]+]|Br?|N|\(|\)|\%[0-9]{2}|[0-9])`,
  ".*\\.(q|k|v)_proj$",
  "model\\.layers\\.[0-9]+\\.mlp",
  "(?!.*experts).*gate$",
  " {2,}",
  "(a+)+$",
  "(a|aa)*b",
  "(?:\\w+\\s?)*!",
];
/** Pieces of expressions. */
export const PATTERN_PIECES: readonly string[] = [
  ...["*", "+", "?", "{2}", "{1,3}", "{2,}", "{,4}", "*?", "+?", "??", "++", "|", "(", ")", "(?:"],
  ...["(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i)", "(?i:", "[", "]", "[^", "^", "$", ".", "\\b"],
  ...[
    "\\s",
    "\\S",
    "\\w",
    "\\d",
    "\\p{L}",
    "\\p{N}",
    "\\n",
    "a",
    " ",
    "a*",
    "(a*)",
    "[a-z]+",
    "&&",
  ],
  ...["\\1", "(?P<n>", "\\A", "\\z", "\\Z", "[[:alpha:]]", "\\x41", "\\u0041", "-"],
];
