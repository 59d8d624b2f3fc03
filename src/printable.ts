/**
 * Text that a terminal shows and does not obey. Names, values and rows that stand in files, and what
 * models write, may hold escape sequences, which set titles, move the cursor or hide text, and marks
 * that turn the order of what is read around.
 *
 * @module
 */

/**
 * The control characters of C0 (with escape, line feed and tabulator) and C1, delete, Unicode's ends of
 * lines, its overrides, embeddings and isolates of direction, and halves of surrogate pairs.
 */
const OBEYED = /[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
/** Some of them have a short name, in JSON and in JavaScript. */
const SHORT: Readonly<Record<string, string>> = {
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
};

/**
 * A text for one line of a terminal: every character that a terminal would obey is shown as JSON
 * writes it, such as `\n` and `\u001b`. What is printable stays, so it can be applied twice.
 */
export function printable(text: string): string {
  return text.replace(
    OBEYED,
    (found) => SHORT[found] ?? `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same for a text of several lines: line feeds and tabulators stay as they are. */
export function printableLines(text: string): string {
  return text.split("\n").map((line) => line.split("\t").map(printable).join("\t")).join("\n");
}

/** Says what should be known on the console, for programs that take no notices themselves. */
export function noticeOnConsole(notice: string): void {
  console.warn(printable(notice));
}
