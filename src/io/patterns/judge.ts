/**
 * Whether a regular expression of a tokenizer is safe to run. Both tokenizer libraries backtrack: an
 * expression that can match a text in many ways tries all of them before it fails. In JavaScript that
 * ends never; the native library gives up after ten million ways, and takes the process with it.
 *
 * What counts are the loops after which something may still fail, since only those are gone back into:
 *
 * - the body of one must match a text in one way only, else the ways double with each round;
 * - two that can share a text between them go through it once for each place of the first;
 * - one that takes letters and spaces alike runs to the end of a text, from each of its places, unless it
 *   stands behind a character that is rare.
 *
 * The published expressions have none of these.
 *
 * @module
 */

import {
  areDisjoint,
  charactersOf,
  firstBefore,
  firstOf,
  isNullable,
  mayFail,
  shortestOf,
} from "./first.ts";
import type { Has } from "./sets.ts";
import { parsePattern } from "./syntax.ts";
import type { Pattern } from "./pattern.ts";

/** A loop after which something may fail. */
interface Loop {
  /** What it takes. */
  has: Has[];
  /** Characters of a round, at least. */
  length: number;
  /** Whether what follows can begin within what it takes. */
  isShared: boolean;
}

/** The ways to match a text of bounded parts without a loop, as a power of two. */
const MOST_WAYS = 10;
/**
 * How often a place may be gone back to, of a run of one kind of characters. The native library gives up
 * after ten million steps, and a text has four million characters.
 */
const MOST_VISITS = 2;
/** Characters of the kinds of which texts have runs. */
const KINDS = ["a", "A", "\u4e00", "0", " ", "\n", "\t", "-", "\u3000", "\u0301"];
/** Rounds of a repetition that count as no bound. */
const UNBOUNDED = 100;
/** Parts of an expression, written out. */
const LARGEST = 20_000;

/**
 * Makes sure that an expression takes a time in proportion to the text.
 *
 * @throws {Error} saying why it does not, or what is wrong with it, to follow its name.
 */
export function expectSafe(source: string): void {
  const pattern = parsePattern(source, "oniguruma");
  if (sizeOf(pattern) > LARGEST) throw new Error("its repetitions repeat more than it should take");
  const visits = KINDS.map(() => 0);
  for (const option of pattern.kind === "choice" ? pattern.options : [pattern]) {
    const judge = new Judge();
    const loops = judge.loops(option, false, []);
    const shared = loops.filter(({ has, isShared }, i) =>
      isShared && loops.slice(i + 1).some((later) => !areDisjoint(has, later.has))
    );
    if (shared.length > 0) throw new Error("two of its repetitions can share a text in many ways");
    if (judge.ways > MOST_WAYS) throw new Error("it has too many ways to match one text");
    KINDS.forEach((kind, i) => {
      const through = loops.filter(({ has }) => has.some((set) => set(kind)));
      const rounds = through.reduce((sum, { length }) => sum + 1 / length, 0);
      visits[i] += 2 ** judge.ways * rounds;
    });
  }
  if (visits.some((count) => count > MOST_VISITS)) {
    throw new Error("it goes back through one run of characters in too many ways");
  }
}

class Judge {
  /** The most ways to match a text, as a power of two. */
  ways = 0;

  /**
   * The loops of a part that may be gone back into.
   *
   * @param fails Whether something behind the part may fail.
   * @param follow What may stand behind it.
   * @param isRare Whether the part stands behind a character of its own, which few places of a text have.
   */
  loops(pattern: Pattern, fails: boolean, follow: readonly Has[], isRare = false): Loop[] {
    switch (pattern.kind) {
      case "set":
      case "place":
        return [];
      case "look":
        if (!pattern.ahead && hasLoop(pattern.body)) {
          throw new Error("it looks back without a bound");
        }
        return this.loops(pattern.body, false, []);
      case "sequence": {
        const found: Loop[] = [];
        let [behind, mayBe] = [fails, follow];
        const rare = pattern.parts.findIndex(isRareCharacter);
        for (const [i, part] of [...pattern.parts.entries()].reverse()) {
          found.unshift(...this.loops(part, behind, mayBe, isRare || (rare >= 0 && rare < i)));
          behind ||= mayFail(part);
          mayBe = firstBefore(part, mayBe);
        }
        return found;
      }
      case "choice": {
        if (fails && !areApart(pattern.options.map(firstOf))) {
          this.ways += Math.log2(pattern.options.length);
        }
        const each = pattern.options.map((option) => this.loops(option, fails, follow, isRare));
        return each.reduce((a, b) => b.length > a.length ? b : a, []);
      }
      case "repeat":
        return this.#repeated(pattern, fails, follow, isRare);
    }
  }

  #repeated(
    { body, least, most }: Pattern & { kind: "repeat" },
    fails: boolean,
    follow: readonly Has[],
    isRare: boolean,
  ): Loop[] {
    const first = firstOf(body);
    const isLoop = most > UNBOUNDED || (most > 1 && hasLoop(body));
    if (most > 1 && !isLoop && !isSingle(body)) {
      const before = this.ways;
      this.loops(body, fails || least > 1, [...first, ...follow], isRare);
      this.ways = before + (this.ways - before) * most;
    }
    if (fails && !isLoop) this.ways += Math.log2(most - least + 1);
    if (!isLoop) return most > 1 ? [] : this.loops(body, fails, follow, isRare);
    // A body that may fail in a round that has to be ends the loop, and with it what was before.
    if (!fails && !(least > 1 && mayFail(body))) {
      return this.loops(body, false, [...first, ...follow], isRare);
    }
    if (isNullable(body) || !isClear(body, first)) {
      throw new Error("it repeats what can itself match a text in many ways");
    }
    const has = charactersOf(body);
    if (!isRare && has.some((set) => set("a")) && has.some((set) => set(" "))) {
      throw new Error("a repetition runs over words and spaces, and may fail at its end");
    }
    return [{ has, length: shortestOf(body), isShared: !areDisjoint(first, follow) }];
  }
}

/** Whether a part matches a text in one way only, as the next character always tells. */
function isClear(pattern: Pattern, follow: readonly Has[]): boolean {
  switch (pattern.kind) {
    case "set":
    case "place":
      return true;
    case "look":
      return !hasLoop(pattern.body);
    case "sequence": {
      let mayBe = follow;
      return pattern.parts.toReversed().every((part) => {
        const clear = isClear(part, mayBe);
        mayBe = firstBefore(part, mayBe);
        return clear;
      });
    }
    case "choice": {
      const firsts = pattern.options.map((option) => firstBefore(option, follow));
      return areApart(firsts) && pattern.options.every((option) => isClear(option, follow));
    }
    case "repeat": {
      const first = firstOf(pattern.body);
      const isFixed = pattern.least === pattern.most;
      return (isFixed || (areDisjoint(first, follow) && !isNullable(pattern.body))) &&
        isClear(pattern.body, pattern.most > 1 ? [...first, ...follow] : follow);
    }
  }
}

function areApart(firsts: Has[][]): boolean {
  return firsts.every((a, i) => firsts.slice(i + 1).every((b) => areDisjoint(a, b)));
}

/** The parts of an expression when bounded repetitions are written out. */
function sizeOf(pattern: Pattern): number {
  switch (pattern.kind) {
    case "set":
    case "place":
      return 1;
    case "look":
      return 1 + sizeOf(pattern.body);
    case "sequence":
      return pattern.parts.reduce((sum, part) => sum + sizeOf(part), 1);
    case "choice":
      return pattern.options.reduce((sum, option) => sum + sizeOf(option), 1);
    case "repeat": {
      const rounds = Number.isFinite(pattern.most) ? pattern.most : pattern.least;
      return Math.max(1, rounds) * sizeOf(pattern.body);
    }
  }
}

/** Whether a part has a repetition without a bound. */
function hasLoop(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case "set":
    case "place":
      return false;
    case "look":
      return hasLoop(pattern.body);
    case "sequence":
      return pattern.parts.some(hasLoop);
    case "choice":
      return pattern.options.some(hasLoop);
    case "repeat":
      return pattern.most > UNBOUNDED || hasLoop(pattern.body);
  }
}

/** Whether a part is one character that is no letter and no space. */
function isRareCharacter(pattern: Pattern): boolean {
  const isFrequent = (has: Has) => [..." \netaoinsETAOINS"].some(has);
  return pattern.kind === "set" && !isFrequent(pattern.has);
}

function isSingle({ kind }: Pattern): boolean {
  return kind === "set" || kind === "place";
}
