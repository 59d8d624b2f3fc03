/**
 * Changes JSON as values, so that what comes out is JSON still and reaches what checks types, ranges and names: fields are
 * left out, given another type, nonsense numbers, other places, other names.
 *
 * @module
 */

import type { FuzzRandom } from "./random.ts";
import { mutateText } from "./mutate_text.ts";

type Parent = Record<string, unknown> | unknown[];

const NUMBERS = [
  ...[0, -0, 1, -1, 2, 3, 0.5, 1.5, -0.001, 1e-300, 5e-324, 1e300, 1.7976931348623157e308],
  ...[7, 8, 16, 63, 64, 65, 127, 255, 256, 1000, 65535, 65536, 1e6, 1e8, 1e9, 1e12, 1e15],
  ...[
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 1,
    2 ** 53,
    2 ** 53 + 2,
    2 ** 63,
    2 ** 64,
  ],
];
const STRINGS = [
  ...[
    "",
    " ",
    "\n",
    "a",
    "x".repeat(300),
    "\0",
    "\u001b[31m",
    "\ud800",
    "é",
    "日本",
    "👩‍🚀",
    "null",
    "true",
  ],
  ...[
    "0",
    "-1",
    "1e9",
    "NaN",
    "../x",
    "../../../../etc/passwd",
    "/etc/passwd",
    "a/../b",
    "C:\\x",
    "con",
    ".",
  ],
  ...["__proto__", "constructor", "toString", "hasOwnProperty", "length", "__metadata__"],
];
const NAMES = [
  "",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "length",
  "0",
  "-1",
  "a.b",
  "A",
];

/** A value that is no good in most places. */
export function nonsenseValue(random: FuzzRandom, depth = 0): unknown {
  switch (random.below(depth > 2 ? 5 : 8)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
    case 3:
      return random.chance(0.8) ? random.pick(NUMBERS) : random.between(-300, 300);
    case 4:
      return random.pick(STRINGS);
    case 5:
      return Array.from({ length: random.below(4) }, () => nonsenseValue(random, depth + 1));
    case 6: {
      const value: Record<string, unknown> = {};
      for (let n = random.below(3); n > 0; n--) {
        put(value, random.pick(NAMES), nonsenseValue(random, depth + 1));
      }
      return value;
    }
    default: {
      let value: unknown = random.pick(NUMBERS);
      for (let n = random.pick([2, 20, 300]); n > 0; n--) {
        value = random.chance(0.5) ? [value] : { a: value };
      }
      return value;
    }
  }
}

/** A changed copy of one of the seeds, which are values as JSON.parse gives them. */
export function mutateJson(random: FuzzRandom, seeds: readonly unknown[]): unknown {
  let root: { value: unknown } = { value: structuredClone(random.pick(seeds)) };
  for (let count = random.few(); count > 0; count--) root = change(random, root, seeds);
  return root.value;
}

/**
 * The same as text, which now and then is damaged as text too, says a key twice, or is nested very deeply.
 *
 * @param damaged Of this share of the texts. Default 0.1.
 */
export function mutateJsonText(
  random: FuzzRandom,
  seeds: readonly unknown[],
  damaged = 0.1,
): string {
  const value = mutateJson(random, seeds);
  const text = JSON.stringify(value, null, random.chance(0.2) ? 1 : undefined) ?? "null";
  if (random.chance(0.003)) { // deeper than what walks over values by calling itself can go
    const [open, close] = random.pick([["[", "]"], ['{"a":', "}"]]);
    const deep = open.repeat(20_000) + (random.chance(0.5) ? "1" : "") + close.repeat(20_000);
    return text.replace(/"[^"\\]*"(?=\s*[,}\]])|\d+/, () => deep);
  }
  if (random.chance(damaged)) return mutateText(random, [text]);
  if (random.chance(0.02)) {
    const key = /"[^"\\]*":/.exec(text)?.[0];
    if (key !== undefined) {
      return text.replace("{", `{${key}${JSON.stringify(nonsenseValue(random))},`);
    }
  }
  return text;
}

function change(
  random: FuzzRandom,
  root: { value: unknown },
  seeds: readonly unknown[],
): { value: unknown } {
  const place = pickPlace(random, root);
  const { parent, key } = place;
  const value = get(parent, key);
  switch (random.below(12)) {
    case 0:
    case 1: // left out
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else if (parent !== root as unknown) delete parent[key];
      break;
    case 2:
    case 3:
      put(parent, key, nonsenseValue(random));
      break;
    case 4: // of another place, so of a kind that occurs
      put(parent, key, structuredClone(get(...pair(pickPlace(random, root)))));
      break;
    case 5: { // of another seed
      const other = { value: random.pick(seeds) };
      put(parent, key, structuredClone(get(...pair(pickPlace(random, other)))));
      break;
    }
    case 6: // another name
      if (!Array.isArray(parent) && parent !== root as unknown) {
        delete parent[key];
        put(parent, random.chance(0.7) ? random.pick(NAMES) : mutateText(random, [key]), value);
      }
      break;
    case 7: // one more
      if (Array.isArray(value)) {
        value.splice(random.below(value.length + 1), 0, nonsenseValue(random));
      } else if (value !== null && typeof value === "object") {
        put(value as Parent, random.pick(NAMES), nonsenseValue(random));
      }
      break;
    case 8: // twice
      if (Array.isArray(parent)) parent.splice(Number(key), 0, structuredClone(value));
      else if (Array.isArray(value)) value.push(...structuredClone(value).slice(0, 20));
      break;
    case 9: // a close relative
      put(parent, key, relative(random, value));
      break;
    case 10: // wrapped, or unwrapped
      if (Array.isArray(value) && value.length > 0 && random.chance(0.5)) {
        put(parent, key, value[0]);
      } else put(parent, key, random.chance(0.5) ? [value] : { [random.pick(NAMES)]: value });
      break;
    default: { // swapped
      const other = pickPlace(random, root);
      const theirs = structuredClone(get(other.parent, other.key));
      put(other.parent, other.key, structuredClone(value));
      put(parent, key, theirs);
    }
  }
  return root;
}

/** A value that is nearly the one that was there. */
function relative(random: FuzzRandom, value: unknown): unknown {
  if (typeof value === "number") {
    const by = random.pick([1, -1, 2, 0.5, 10, 1000, 2 ** 20]);
    return random.pick([value + by, value - by, value * by, -value, value / by, String(value)]);
  }
  if (typeof value === "string") return mutateText(random, [value]);
  if (typeof value === "boolean") {
    return random.pick<unknown>([!value, Number(value), String(value)]);
  }
  if (Array.isArray(value)) {
    return random.chance(0.5) ? value.toReversed() : value.slice(random.below(value.length + 1));
  }
  return value;
}

interface Place {
  parent: Parent;
  key: string;
}

/** A place in a value: every step down is random, and it ends at a leaf most of the time. */
function pickPlace(random: FuzzRandom, root: { value: unknown }): Place {
  let parent = root as unknown as Parent;
  let key = "value";
  while (true) {
    const value = get(parent, key);
    if (value === null || typeof value !== "object") break;
    const keys = Object.keys(value);
    if (keys.length === 0 || random.chance(parent === root as unknown ? 0.02 : 0.25)) break;
    parent = value as Parent;
    key = random.pick(keys);
  }
  return { parent, key };
}

function pair({ parent, key }: Place): [Parent, string] {
  return [parent, key];
}

function get(parent: Parent, key: string): unknown {
  return (parent as Record<string, unknown>)[key];
}

/** Sets a field as JSON.parse does: "__proto__" is a name like others. */
function put(parent: Parent, key: string, value: unknown): void {
  Object.defineProperty(parent, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}
