/**
 * Matches names of modules with the regular expressions of a file, in a time that is bounded whatever
 * the expression: from a set of places to the set of places that it can reach, so no way is gone twice.
 *
 * @module
 */

import { type Dialect, parsePattern, type Pattern, type Place } from "./syntax.ts";

/** Steps of one match, each a part of the expression at a place of the text. */
const MOST_STEPS = 5_000_000;

/** A regular expression of Python that is matched from the start of a text. */
export class BoundedPattern {
  readonly #pattern: Pattern;

  /**
   * Parses an expression.
   *
   * @throws {Error} naming what is wrong with it, or not supported, to follow its name.
   */
  constructor(source: string, dialect: Dialect = "python") {
    this.#pattern = parsePattern(source, dialect);
  }

  /**
   * Whether it matches a text from its start, up to its end or anywhere before it.
   *
   * @throws {Error} if that takes more steps than any name needs.
   */
  matches(text: string, toEnd = false): boolean {
    const match = new Match([...text]);
    const ends = match.ends(this.#pattern, new Set([0]));
    return toEnd ? ends.has(match.length) : ends.size > 0;
  }
}

class Match {
  readonly #characters: readonly string[];
  #left = MOST_STEPS;

  constructor(characters: readonly string[]) {
    this.#characters = characters;
  }

  get length(): number {
    return this.#characters.length;
  }

  /** The places that a part reaches from some. */
  ends(pattern: Pattern, starts: ReadonlySet<number>): ReadonlySet<number> {
    this.#left -= 1 + starts.size;
    if (this.#left < 0) throw new Error("it takes too many steps to match");
    switch (pattern.kind) {
      case "set":
        return new Set(
          [...starts].filter((at) => at < this.length)
            .filter((at) => pattern.has(this.#characters[at])).map((at) => at + 1),
        );
      case "place":
        return new Set([...starts].filter((at) => this.#isPlace(pattern.at, at)));
      case "look":
        return new Set(
          [...starts].filter((at) =>
            (pattern.ahead ? this.#ahead(pattern.body, at) : this.#behind(pattern.body, at)) !==
              pattern.negative
          ),
        );
      case "sequence":
        return pattern.parts.reduce((at, part) => at.size === 0 ? at : this.ends(part, at), starts);
      case "choice":
        return pattern.options.reduce<ReadonlySet<number>>(
          (found, option) => found.union(this.ends(option, starts)),
          new Set(),
        );
      case "repeat":
        return this.#repeated(pattern, starts);
    }
  }

  #repeated(
    { body, least, most, atomic }: Pattern & { kind: "repeat" },
    starts: ReadonlySet<number>,
  ): ReadonlySet<number> {
    if (atomic) throw new Error("it has a possessive quantifier or an atomic group");
    let at = starts;
    for (let count = 0; count < least; count++) {
      const next = this.ends(body, at);
      // Where nothing is left, or nothing changes, more rounds change nothing.
      if (next.size === 0) return next;
      if (next.size === at.size && next.isSubsetOf(at)) break;
      at = next;
    }
    let found = at;
    for (let count = least; count < most; count++) {
      const next = this.ends(body, at).difference(found);
      if (next.size === 0) break;
      found = found.union(next);
      at = next;
    }
    return found;
  }

  #ahead(body: Pattern, at: number): boolean {
    return this.ends(body, new Set([at])).size > 0;
  }

  #behind(body: Pattern, at: number): boolean {
    for (let start = at; start >= 0; start--) {
      if (this.ends(body, new Set([start])).has(at)) return true;
    }
    return false;
  }

  #isPlace(place: Place, at: number): boolean {
    const isLineFeed = (index: number) => this.#characters[index] === "\n";
    const isWord = (index: number) => /^[\p{L}\p{N}_]$/u.test(this.#characters[index] ?? "");
    switch (place) {
      case "start":
        return at === 0;
      case "end":
        return at === this.length;
      case "last line":
        return at === this.length || (at === this.length - 1 && isLineFeed(at));
      case "line start":
        return at === 0 || isLineFeed(at - 1);
      case "line end":
        return at === this.length || isLineFeed(at);
      case "word":
        return isWord(at - 1) !== isWord(at);
      case "no word":
        return isWord(at - 1) === isWord(at);
    }
  }
}
