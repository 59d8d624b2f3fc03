/**
 * Regular expressions of files, parsed: those that Python's `re` reads, of modules, and those that
 * Oniguruma reads, of tokenizers. JavaScript's own would read most of them, but they come from anyone,
 * and a line of one can keep a backtracking engine busy for ever. As a tree they can be matched without
 * that, or judged before they are run.
 *
 * @module
 */

import type { Dialect, Pattern, Place } from "./pattern.ts";
import { readQuantifier } from "./quantifier.ts";
import { escaped, isClass, memberOf, posix, property } from "./sets.ts";

/** The longest expression, in characters, and how deep groups may stand in each other. */
const LONGEST = 10_000;
const DEEPEST = 200;

/** What an expression may hold that is not done here, by what it begins with. */
const UNSUPPORTED: readonly [begin: RegExp, name: string][] = [
  [/^\((?=\?P=|\?P>|\?&|\?R|\?\d)/, "a group that stands for another"],
  [/^\(\?\(/, "a condition on a group"],
  [/^\(\?[~{]|^\(\*/, "a group of Oniguruma's own"],
  [/^\\[1-9]|^\\[kg][<'{]/, "a reference to a group"],
  [/^\\[KGRXyYNO]/, "an escape"],
];

/**
 * Parses an expression.
 *
 * @throws {Error} naming what is wrong with it, or not supported, to follow its name.
 */
export function parsePattern(source: string, dialect: Dialect): Pattern {
  if (source.length > LONGEST) {
    throw new Error(`it has ${source.length} characters, and ${LONGEST} are the most`);
  }
  return new Parser(source, dialect).parse();
}

/** The options of a group. */
interface Options {
  /** Letters stand for both cases. */
  fold: boolean;
  /** The dot stands for line feeds too. */
  dotAll: boolean;
  /** `^` and `$` stand at lines, as they always do for Oniguruma. */
  lines: boolean;
}

class Parser {
  readonly #source: string;
  readonly #dialect: Dialect;
  #at = 0;
  #depth = 0;

  constructor(source: string, dialect: Dialect) {
    this.#source = source;
    this.#dialect = dialect;
  }

  parse(): Pattern {
    const options = { fold: false, dotAll: false, lines: this.#dialect === "oniguruma" };
    const pattern = this.#choice(options);
    if (this.#at < this.#source.length) throw new Error("a ) closes no group");
    return pattern;
  }

  get #rest(): string {
    return this.#source.slice(this.#at, this.#at + 64);
  }

  #choice(options: Options): Pattern {
    const scope = { ...options };
    const choices = [this.#sequence(scope)];
    while (this.#source[this.#at] === "|") {
      this.#at++;
      choices.push(this.#sequence(scope));
    }
    return choices.length === 1 ? choices[0] : { kind: "choice", options: choices };
  }

  #sequence(options: Options): Pattern {
    const parts: Pattern[] = [];
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at])) {
      const part = this.#atom(options);
      if (part !== null) parts.push(this.#repeated(part));
    }
    return parts.length === 1 ? parts[0] : { kind: "sequence", parts };
  }

  #repeated(body: Pattern): Pattern {
    let pattern = body;
    for (;;) {
      const found = readQuantifier(this.#source, this.#at, this.#dialect);
      if (found === null) return pattern;
      this.#at = found.end;
      if (pattern.kind === "place") throw new Error("a quantifier stands behind a place");
      if (pattern.kind === "repeat" && this.#dialect === "python" && pattern !== body) {
        throw new Error("a quantifier stands behind another");
      }
      pattern = { kind: "repeat", body: pattern, ...found.rounds };
    }
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #atom(options: Options): Pattern | null {
    for (const [begin, name] of UNSUPPORTED) {
      if (begin.test(this.#rest)) throw new Error(`it has ${name} (${this.#rest.slice(0, 4)})`);
    }
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at)!);
    if (character === "(") return this.#group(options);
    if (character === "[") return this.#set(options);
    if (character === "\\") return this.#escape(options);
    if ("*+?".includes(character)) throw new Error(`a ${character} has nothing to repeat`);
    this.#at += character.length;
    if (character === ".") {
      return { kind: "set", has: options.dotAll ? () => true : (other) => other !== "\n" };
    }
    if (character === "^") return { kind: "place", at: options.lines ? "line start" : "start" };
    if (character === "$") return { kind: "place", at: options.lines ? "line end" : "last line" };
    return literal(character, options);
  }

  #group(options: Options): Pattern | null {
    this.#at++;
    if (++this.#depth > DEEPEST) throw new Error(`it is nested more than ${DEEPEST} levels deep`);
    const scope = { ...options };
    let look: { ahead: boolean; negative: boolean } | null = null;
    let atomic = false;
    const rest = this.#rest;
    const flags = /^\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])/.exec(rest);
    const lookaround = /^\?(<?)([=!])/.exec(rest);
    if (lookaround !== null) {
      look = { ahead: lookaround[1] === "", negative: lookaround[2] === "!" };
      this.#at += lookaround[0].length;
    } else if (rest.startsWith("?#")) {
      const end = this.#source.indexOf(")", this.#at);
      if (end < 0) throw new Error("a comment has no end");
      this.#at = end + 1;
      this.#depth--;
      return null;
    } else if (flags !== null) {
      this.#at += flags[0].length;
      const target = flags[3] === ")" ? options : scope;
      this.#setOptions(target, flags[1], true);
      this.#setOptions(target, flags[2] ?? "", false);
      if (flags[3] === ")") {
        this.#depth--;
        return null;
      }
    } else if (rest.startsWith("?>")) {
      atomic = true;
      this.#at += 2;
    } else if (rest[0] === "?") {
      const name = (this.#dialect === "python" ? /^\?P<\w+>/ : /^\?(?:<\w+>|'\w+')/).exec(rest);
      if (name === null) {
        throw new Error(`it has a group of an unknown kind ((${rest.slice(0, 3)})`);
      }
      this.#at += name[0].length;
    }
    const body = this.#choice(scope);
    if (!this.#take(")")) throw new Error("a group is not closed");
    this.#depth--;
    if (look !== null) return { kind: "look", ...look, body };
    return atomic ? { kind: "repeat", body, least: 1, most: 1, lazy: false, atomic } : body;
  }

  #setOptions(options: Options, letters: string, value: boolean): void {
    for (const letter of letters) {
      // Oniguruma's m is Python's s.
      if (letter === "i") options.fold = value;
      else if (letter === (this.#dialect === "python" ? "s" : "m")) options.dotAll = value;
      else if (letter === "m") options.lines = value;
      else if (!"uaL".includes(letter)) throw new Error(`it has the option ${letter}`);
    }
  }

  #escape(options: Options): Pattern {
    const place = /^\\[AzZbB]/.exec(this.#rest);
    if (place !== null) {
      this.#at += 2;
      const isPython = this.#dialect === "python";
      const places: Record<string, Place> = {
        A: "start",
        z: "end",
        Z: isPython ? "end" : "last line",
        b: "word",
        B: "no word",
      };
      return { kind: "place", at: places[place[0][1]] };
    }
    return setOf(this.#escaped(), options);
  }

  /** One escape, as JavaScript has it. */
  #escaped(): string {
    const braced = /^\\(?:([pP])(?:\{(\^?)([\w =]+)\})|x\{([0-9A-Fa-f]{1,6})\})/.exec(this.#rest);
    if (braced !== null) {
      this.#at += braced[0].length;
      const [, letter, negative, name, hex] = braced;
      if (hex !== undefined) return `\\u{${hex}}`;
      return property(letter, negative === "^", name);
    }
    const fixed = /^\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|c[A-Za-z]|0[0-7]{0,2})/.exec(this.#rest);
    if (fixed !== null) {
      this.#at += fixed[0].length;
      return fixed[0][1] === "0"
        ? `\\x${parseInt(fixed[0].slice(1), 8).toString(16).padStart(2, "0")}`
        : fixed[0];
    }
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at + 1) ?? 0);
    if (this.#at + 1 >= this.#source.length) throw new Error("it ends with a backslash");
    this.#at += 1 + character.length;
    const isHex = this.#dialect === "oniguruma" && "hH".includes(character);
    if (isHex) return character === "h" ? "[0-9A-Fa-f]" : "[^0-9A-Fa-f]";
    if (character === "a") return "\\x07";
    if (character === "e" && this.#dialect === "oniguruma") return "\\x1b";
    if ("dDsSwWnrtfv".includes(character)) return `\\${character}`;
    if (/[A-Za-z0-9]/.test(character)) throw new Error(`it has the escape \\${character}`);
    return escaped(character);
  }

  /** A set in brackets; in Oniguruma's, sets may stand in sets, and be cut with others by &&. */
  #set(options: Options): Pattern {
    this.#at++;
    if (++this.#depth > DEEPEST) throw new Error(`it is nested more than ${DEEPEST} levels deep`);
    const negative = this.#take("^");
    const cut: ((character: string) => boolean)[][] = [[]];
    let isFirst = true;
    for (;; isFirst = false) {
      if (this.#at >= this.#source.length) throw new Error("a set in brackets is not closed");
      if (this.#source[this.#at] === "]" && !isFirst) break;
      const members = cut[cut.length - 1];
      const isOniguruma = this.#dialect === "oniguruma";
      const named = isOniguruma ? /^\[:(\^?)(\w+):\]/.exec(this.#rest) : null;
      if (named !== null) {
        this.#at += named[0].length;
        members.push(memberOf(posix(named[2], named[1] === "^"), options));
      } else if (isOniguruma && this.#source[this.#at] === "[") {
        const inner = this.#set(options);
        if (inner.kind === "set") members.push(inner.has);
      } else if (isOniguruma && this.#take("&&")) {
        cut.push([]);
      } else {
        members.push(this.#member(options));
      }
    }
    this.#at++;
    this.#depth--;
    const has = (character: string) =>
      cut.every((members) => members.some((member) => member(character))) !== negative;
    return { kind: "set", has };
  }

  /** A character of a set, a range or an escape. */
  #member(options: Options): (character: string) => boolean {
    const first = this.#single();
    const isRange = this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]" &&
      this.#at + 1 < this.#source.length && first.length > 0 && !isClass(first);
    if (!isRange) return memberOf(first, options);
    this.#at++;
    const last = this.#single();
    if (isClass(last)) throw new Error("a range in brackets ends with a set");
    return memberOf(`[${first}-${last}]`, options);
  }

  #single(): string {
    if (this.#source[this.#at] === "\\") {
      if (this.#rest[1] === "b") {
        this.#at += 2;
        return "\\x08";
      }
      return this.#escaped();
    }
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at)!);
    this.#at += character.length;
    return escaped(character);
  }
}

function literal(character: string, options: Options): Pattern {
  return options.fold
    ? setOf(escaped(character), options)
    : { kind: "set", has: (other) => other === character };
}

function setOf(source: string, options: Options): Pattern {
  return { kind: "set", has: memberOf(source, options) };
}
