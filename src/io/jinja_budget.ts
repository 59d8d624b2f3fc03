/**
 * What rendering a chat template may cost. Templates come from model folders that anyone may have made,
 * and their language has loops, macros and texts that double: without a bound, a line of one fills the
 * memory or never ends.
 *
 * The bound is counted, not timed, so that a template is taken or refused alike on every machine. A step
 * is a node of the template that is evaluated, or about as much work within one: 16 characters that are
 * read or written, an item of a list that is made. A second has some millions of them; a conversation of
 * a few turns takes some thousands. Long conversations have more, in proportion to what is given.
 *
 * @module
 */

/** Steps that any rendering has. */
export const STEPS = 5_000_000;
/** Steps for each character that the template is given, and for each list, mapping or value. */
const STEPS_PER_CHARACTER = 32;
const STEPS_PER_VALUE = 4_000;
/** The longest text, in characters, and how much longer for each character that is given. */
export const LONGEST_TEXT = 1 << 24;
const LENGTH_PER_CHARACTER = 8;
/** Levels within levels: of a template, of macros that call macros, of values. */
export const DEEPEST = 400;
/** Characters that count as one step. */
const CHARACTERS_PER_STEP = 16;

/** A template went beyond its budget. The message says what of it, to follow the template's name. */
export class BudgetError extends Error {}

/** How much a template is given. */
export interface Given {
  /** Characters of all texts. */
  characters: number;
  /** Lists, mappings, texts and other values. */
  values: number;
}

/** Counts what one rendering costs. */
export class Budget {
  readonly #measure: () => Given;
  #left: number;
  #longest = LONGEST_TEXT;
  #extended = false;
  #depth = 0;

  /**
   * A budget of which nothing is spent.
   *
   * @param measure How much the template is given; asked only when the first steps are used up.
   * @param steps Steps that there are whatever is given.
   */
  constructor(measure: () => Given, steps: number) {
    this.#measure = measure;
    this.#left = steps;
  }

  /**
   * Counts steps, before they are made where there may be many.
   *
   * @throws {BudgetError} when none are left.
   */
  spend(steps: number): void {
    this.#left -= steps;
    if (!(this.#left >= 0)) this.#runOut();
  }

  /** Goes a level down, and counts a step; one far down costs more, as what it names is far up. */
  enter(): void {
    if (++this.#depth > DEEPEST) {
      throw new BudgetError(
        `it is nested more than ${DEEPEST} levels deep (a macro calls itself?)`,
      );
    }
    this.spend(1 + (this.#depth >> 4));
  }

  /** Goes a level up. */
  leave(): void {
    this.#depth--;
  }

  /** Counts the reading of a text, each place of which may be compared with a part to be found. */
  read(length: number, part = 0): void {
    this.spend(length * (1 + part / 8) / CHARACTERS_PER_STEP);
  }

  /** Counts the writing of a text, before it is made where it may be much longer than what it is of. */
  write(length: number): void {
    if (length > this.#longest) this.#extend();
    if (length > this.#longest) {
      throw new BudgetError(
        `it makes a text of more than ${this.#longest.toLocaleString("en")} characters`,
      );
    }
    this.spend(length / CHARACTERS_PER_STEP);
  }

  #runOut(): void {
    this.#extend();
    if (this.#left >= 0) return;
    throw new BudgetError("it takes too many steps (loops within loops, or texts that grow?)");
  }

  #extend(): void {
    if (this.#extended) return;
    this.#extended = true;
    const { characters, values } = this.#measure();
    this.#left += STEPS_PER_CHARACTER * characters + STEPS_PER_VALUE * values;
    this.#longest += LENGTH_PER_CHARACTER * characters;
  }
}

/** Measures values of JavaScript: what a row holds, so a tree. */
export function measure(value: unknown): Given {
  const given = { characters: 0, values: 0 };
  const waiting = [value];
  while (waiting.length > 0) {
    const item = waiting.pop();
    given.values++;
    if (typeof item === "string") given.characters += item.length;
    else if (typeof item === "object" && item !== null) {
      for (const [key, part] of Object.entries(item)) {
        if (!Array.isArray(item)) given.characters += key.length;
        waiting.push(part);
      }
    }
  }
  return given;
}
