/**
 * The rules of a safetensors header, read once more: https://huggingface.co/docs/safetensors (format).
 *
 * @module
 */

import { countOf, fieldOf, type Fields, type Json, readJsonText } from "./json.ts";

/** Bits of an element. */
const BITS: Readonly<Record<string, number>> = {
  ...{ F64: 64, F32: 32, F16: 16, BF16: 16, I64: 64, I32: 32, I16: 16, I8: 8 },
  ...{ U64: 64, U32: 32, U16: 16, U8: 8, BOOL: 8, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8 },
};

/** What is wrong with a header in front of so many bytes; null if nothing is. */
export function problemOfHeader(header: string, dataLength: number): string | null {
  const json = readJsonText(header);
  if (json?.kind !== "object") return "the header is no JSON object";
  if (repeats(json)) return "a key occurs twice";
  const ranges: [start: number, end: number][] = [];
  for (const [name, entry] of json.fields) {
    if (name === "__metadata__") {
      if (entry.kind === "word" && entry.word === "null") continue;
      if (entry.kind !== "object" || entry.fields.some(([, { kind }]) => kind !== "string")) {
        return "the metadata are no texts";
      }
      continue;
    }
    if (name.length > 512) {
      return "a name of more than 512 characters, which is a limit of this package";
    }
    if (entry.kind !== "object") return `${name} is no object`;
    const range = rangeOf(entry);
    if (typeof range === "string") return `${name}: ${range}`;
    ranges.push(range);
  }
  ranges.sort(([a, b], [c, d]) => a - c || b - d);
  let at = 0;
  for (const [start, end] of ranges) {
    if (start !== at) return `a tensor starts at ${start}, and the one before ends at ${at}`;
    at = end;
  }
  return at === dataLength ? null : `tensors end at ${at} of ${dataLength}`;
}

function rangeOf(entry: { fields: Fields }): [number, number] | string {
  const dtype = fieldOf(entry, "dtype");
  const bits = dtype?.kind === "string" && Object.hasOwn(BITS, dtype.text)
    ? BITS[dtype.text]
    : null;
  if (bits === null) return "no known dtype";
  const shape = fieldOf(entry, "shape");
  if (shape?.kind !== "array") return "no shape";
  const sizes = shape.items.map(countOf);
  if (sizes.includes(null)) return "a size is no count";
  const offsets = fieldOf(entry, "data_offsets");
  if (offsets?.kind !== "array" || offsets.items.length !== 2) return "no two offsets";
  const [start, end] = offsets.items.map(countOf);
  if (start === null || end === null || end < start) return "the offsets are no range";
  const bytes = sizes.reduce((product, size) => product * BigInt(size!), BigInt(bits)) / 8n;
  return BigInt(end - start) === bytes ? [start, end] : "the range has not the shape's bytes";
}

/** Whether a key occurs twice in an object anywhere. */
function repeats(json: Json): boolean {
  if (json.kind === "array") return json.items.some(repeats);
  if (json.kind !== "object") return false;
  const names = new Set(json.fields.map(([name]) => name));
  return names.size < json.fields.length || json.fields.some(([, value]) => repeats(value));
}
