/**
 * A pattern of text as a tree, whoever wrote it: a regular expression, or a glob.
 *
 * @module
 */

import type { Has } from "./sets.ts";

/** A part of an expression. */
export type Pattern =
  /** One character of a set. */
  | { kind: "set"; has: Has }
  /** A place between characters. */
  | { kind: "place"; at: Place }
  | { kind: "look"; ahead: boolean; negative: boolean; body: Pattern }
  | { kind: "sequence"; parts: Pattern[] }
  | { kind: "choice"; options: Pattern[] }
  /** What is repeated; `most` is Infinity without a bound. An atomic one gives nothing back. */
  | { kind: "repeat"; body: Pattern; least: number; most: number; lazy: boolean; atomic: boolean };

/** Places between characters: the text's ends, the ends of its lines, and of its words. */
export type Place = "start" | "end" | "last line" | "line start" | "line end" | "word" | "no word";

/** Who wrote an expression. */
export type Dialect = "python" | "oniguruma";
