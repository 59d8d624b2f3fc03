/**
 * The names by which a compressed-tensors block points at modules.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { showJson } from "../io/json.ts";

/** Begins an entry that is a regular expression. */
const REGULAR = "re:";

/**
 * Whether an entry names a module: by its name, or by a regular expression after `re:` that matches
 * from the name's start, as the library matches.
 *
 * @param where The list of the entry, for messages.
 * @throws {ModelError} for a regular expression that is none.
 */
export function namesModule(entry: string, module: string, where: string): boolean {
  if (!entry.startsWith(REGULAR)) return entry === module;
  try {
    return new RegExp(`^(?:${entry.slice(REGULAR.length)})`).test(module);
  } catch (error) {
    throw new ModelError(
      `${where} must hold names and regular expressions: found ${showJson(entry)} ` +
        `(${(error as Error).message}); repair the entry`,
    );
  }
}
