/**
 * Values of every kind, and the test that a place takes those of its own and refuses the others by an error of this package,
 * in a sentence without words of the runtime.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { classify } from "../fuzz/frame/outcome.ts";

/** Of every kind that one may be mistaken for. */
export const VALUES = {
  undefined: undefined,
  null: null,
  true: true,
  zero: 0,
  negative: -1,
  fraction: 1.5,
  NaN: NaN,
  bigint: 2n,
  symbol: Symbol("s"),
  empty: "",
  text: "none here",
  list: [],
  ids: [1, 2],
  nulls: [null, null],
  texts: ["a", "b"],
  rows: [[1, 2], [3]],
  floats: new Float32Array([0.5, 2]),
  bytes: new Uint8Array([1, 2]),
  object: {},
  bare: Object.create(null),
  function: () => 1,
};

export type Kind = keyof typeof VALUES;
/** A place for a value: its name, what uses it, and the kinds that it takes. */
export type Place = readonly [name: string, use: (value: never) => unknown, ...takes: Kind[]];

/** What may stand where options do. */
export const OPTIONS = ["undefined", "object", "bare"] as const;
export const SWITCH = ["undefined", "true"] as const;
export const COUNT = ["undefined", "zero"] as const;
export const NONE = ["undefined"] as const;
export const CALL = ["undefined", "function"] as const;
export const LISTS = ["list", "ids", "nulls", "texts", "rows", "floats", "bytes"] as const;
export const IDS = ["ids", "bytes"] as const;
export const NUMBERS = ["zero", "negative", "fraction", "NaN"] as const;

/** The places of options, by their names. */
export function places(
  owner: string,
  use: (options: never) => unknown,
  takes: Readonly<Record<string, readonly Kind[]>>,
): Place[] {
  const inside = Object.entries(takes).map(([name, kinds]): Place => [
    `${owner} ${name}`,
    (value) => use({ [name]: value } as never),
    ...kinds,
  ]);
  return inside;
}

/** What a closed model, or a trainer of it, says to what it takes: so nothing is computed here. */
const CLOSED = /disposed of|no longer has its model/;

/** What becomes of a value: null where it is taken, "" where it is refused well, else what is wrong with that. */
async function problemOf(use: () => unknown): Promise<string | null> {
  try {
    await use();
    return null;
  } catch (error) {
    const { outcome, problem } = classify(error);
    if (outcome !== "named") return problem;
    return CLOSED.test(problem) ? null : "";
  }
}

/** Expects every place to take the kinds that it names, and to refuse the others well. */
export async function expectRefusals(places: readonly Place[]): Promise<void> {
  const found: string[] = [];
  for (const [name, use, ...takes] of places) {
    for (const [kind, value] of Object.entries(VALUES)) {
      const problem = await problemOf(() => use(value as never));
      const isTaken = problem === null;
      if (problem) found.push(`${name}, given ${kind}: ${problem}`);
      else if (isTaken !== takes.includes(kind as Kind)) {
        found.push(`${name} ${isTaken ? "takes" : "refuses"} ${kind}`);
      }
    }
  }
  assertEquals(found, []);
}
