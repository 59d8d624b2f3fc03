/**
 * The names by which a compressed-tensors block points at modules.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { showJson } from "../io/json.ts";
import { BoundedPattern } from "../io/patterns/matcher.ts";

/** Begins an entry that is a regular expression. */
const REGULAR = "re:";

/** Expressions that were parsed: each is matched with all modules. */
const PARSED = new Map<string, BoundedPattern>();
/** Expressions that are kept: more than a model has. */
const KEPT = 1000;

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
    return parsed(entry.slice(REGULAR.length)).matches(module);
  } catch (error) {
    throw new ModelError(
      `${where} must hold names and regular expressions: found ${showJson(entry)} ` +
        `(${(error as Error).message}); repair the entry`,
    );
  }
}

function parsed(source: string): BoundedPattern {
  const known = PARSED.get(source);
  if (known !== undefined) return known;
  if (PARSED.size >= KEPT) PARSED.clear();
  const pattern = new BoundedPattern(source);
  PARSED.set(source, pattern);
  return pattern;
}
