/**
 * The names by which a compressed-tensors block points at modules.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { showJson } from "../io/json.ts";
import { boundedPattern } from "../io/patterns/matcher.ts";

/** Begins an entry that is a regular expression. */
const REGULAR = "re:";
/** Regular expressions of a list: each is matched with all modules. Models have a few. */
const MOST_EXPRESSIONS = 100;

/**
 * Whether an entry names a module: by its name, or by a regular expression after `re:` that matches
 * from the name's start, as the library matches.
 *
 * @param where The list of the entry, for messages.
 * @throws {ModelError} for a regular expression that is none, or is not supported.
 */
export function namesModule(entry: string, module: string, where: string): boolean {
  if (!entry.startsWith(REGULAR)) return entry === module;
  try {
    return boundedPattern(entry.slice(REGULAR.length)).matches(module);
  } catch (error) {
    throw new ModelError(
      `${where} must hold names and regular expressions: found ${showJson(entry)} ` +
        `(${(error as Error).message}); repair the entry`,
    );
  }
}

/**
 * Makes sure that the entries of a list can be matched.
 *
 * @param where The list, for messages.
 * @throws {ModelError} for a regular expression that is none, or is not supported, and for too many.
 */
export function expectEntries(entries: readonly string[], where: string): void {
  const expressions = entries.filter((entry) => entry.startsWith(REGULAR));
  if (expressions.length > MOST_EXPRESSIONS) {
    throw new ModelError(
      `${where} must hold at most ${MOST_EXPRESSIONS} regular expressions: found ` +
        `${expressions.length}; name the modules instead`,
    );
  }
  for (const entry of expressions) namesModule(entry, "", where);
}
