/**
 * Matches names of modules with the regular expressions of a file, and paths with the globs of a card, in
 * a time that is bounded whatever the expression: from a set of places to the set of places that it can
 * reach, so no way is gone twice.
 *
 * @module
 */

import { parsePattern } from "./syntax.ts";
import type { Dialect, Pattern, Place } from "./pattern.ts";

/** Steps of one match: places of the text that a part looks at. Names of modules take some thousands. */
const MOST_STEPS = 100_000;
/** Steps for a character that is looked for in a set. */
const SET_STEPS = 8;

/** Expressions that are kept parsed: more than a file has. */
const KEPT = 4096;
const PARSED = new Map<string, BoundedPattern>();

/** The places of a text, of which those are marked that are reached. */
type Places = Uint8Array;

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
    const match = new Match([...text], MOST_STEPS);
    const ends = match.ends(this.#pattern, match.only(0));
    return toEnd ? ends[match.length] === 1 : ends.includes(1);
  }
}

/**
 * Whether a pattern matches all of a text. The steps are not counted: it is for patterns of few parts, and
 * no unbounded repetition in another, which take a step for each part and character.
 */
export function matchesAll(pattern: Pattern, text: string): boolean {
  const match = new Match([...text], Infinity);
  return match.ends(pattern, match.only(0))[match.length] === 1;
}

/**
 * The same expression parsed once, however often it is asked for: each is matched with all modules.
 *
 * @throws {Error} as the constructor does.
 */
export function boundedPattern(source: string): BoundedPattern {
  const known = PARSED.get(source);
  if (known !== undefined) return known;
  if (PARSED.size >= KEPT) PARSED.clear();
  const pattern = new BoundedPattern(source);
  PARSED.set(source, pattern);
  return pattern;
}

class Match {
  readonly #characters: readonly string[];
  #left: number;

  constructor(characters: readonly string[], mostSteps: number) {
    this.#characters = characters;
    this.#left = mostSteps;
  }

  get length(): number {
    return this.#characters.length;
  }

  /** One place. */
  only(place: number): Places {
    const places = new Uint8Array(this.length + 1);
    places[place] = 1;
    return places;
  }

  /** The places that a part reaches from some. */
  ends(pattern: Pattern, starts: Places): Places {
    this.#spend(starts.length);
    switch (pattern.kind) {
      case "set":
        return this.#moved(pattern.has, starts);
      case "place":
        return starts.map((reached, at) => reached && Number(this.#isPlace(pattern.at, at)));
      case "look":
        return starts.map((reached, at) => reached && Number(this.#isSeen(pattern, at)));
      case "sequence": {
        let at = starts;
        for (const part of pattern.parts) if (at.includes(1)) at = this.ends(part, at);
        return at;
      }
      case "choice": {
        const found = new Uint8Array(starts.length);
        for (const option of pattern.options) {
          this.ends(option, starts).forEach((reached, at) => found[at] |= reached);
        }
        return found;
      }
      case "repeat":
        return this.#repeated(pattern, starts);
    }
  }

  #spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new Error("it takes too many steps to match");
  }

  #moved(has: (character: string) => boolean, starts: Places): Places {
    const found = new Uint8Array(starts.length);
    for (let at = starts.indexOf(1); at >= 0 && at < this.length; at = starts.indexOf(1, at + 1)) {
      this.#spend(SET_STEPS);
      if (has(this.#characters[at])) found[at + 1] = 1;
    }
    return found;
  }

  #repeated({ body, least, most, atomic }: Pattern & { kind: "repeat" }, starts: Places): Places {
    if (atomic) throw new Error("it has a possessive quantifier or an atomic group");
    let at = starts;
    for (let count = 0; count < least; count++) {
      const next = this.ends(body, at);
      // Where nothing is left, or nothing changes, more rounds change nothing.
      if (!next.includes(1)) return next;
      if (next.every((reached, i) => reached === at[i])) break;
      at = next;
    }
    const found = at.slice();
    if (body.kind === "set" && most === Infinity) {
      for (let i = 0; i < this.length; i++) {
        if (found[i] === 0 || found[i + 1] === 1) continue;
        this.#spend(SET_STEPS);
        found[i + 1] = Number(body.has(this.#characters[i]));
      }
      return found;
    }
    for (let count = least; count < most; count++) {
      const next = this.ends(body, at).map((reached, i) => reached && (found[i] ^ 1));
      if (!next.includes(1)) break;
      next.forEach((reached, i) => found[i] |= reached);
      at = next;
    }
    return found;
  }

  #isSeen({ ahead, negative, body }: Pattern & { kind: "look" }, at: number): boolean {
    let isThere = false;
    if (ahead) isThere = this.ends(body, this.only(at)).includes(1);
    for (let start = at; !ahead && !isThere && start >= 0; start--) {
      isThere = this.ends(body, this.only(start))[at] === 1;
    }
    return isThere !== negative;
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
