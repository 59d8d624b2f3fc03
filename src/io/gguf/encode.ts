/**
 * The element types of GGUF files that are written here, and how f32 rows become them. `Q8_0` and
 * `Q4_0` are blocks of 32 elements of a row with one f16 scale, with the values that llama.cpp's own
 * quantiser gives.
 *
 * @module
 */

import { ModelError } from "../../errors.ts";
import { fromFloat32 } from "../dtype.ts";

/** An element type. */
export type GgufElement = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0";

/** Elements of a quantised block. */
export const BLOCK = 32;

/** The number of each type in a file, and the elements and bytes of a block of it. */
export const ELEMENTS: Readonly<
  Record<GgufElement, { readonly id: number; readonly elements: number; readonly bytes: number }>
> = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  Q4_0: { id: 2, elements: BLOCK, bytes: 2 + BLOCK / 2 },
  Q8_0: { id: 8, elements: BLOCK, bytes: 2 + BLOCK },
  BF16: { id: 30, elements: 1, bytes: 2 },
};

/**
 * Encodes whole rows.
 *
 * @param values f32, a multiple of 32 in number for `Q8_0` and `Q4_0`.
 * @param name The tensor, for messages.
 * @throws {ModelError} for a value that is no number, or too large for the f16 of the type.
 */
export function encodeElements(
  values: Float32Array<ArrayBuffer>,
  type: GgufElement,
  name: string,
): Uint8Array<ArrayBuffer> {
  expectFinite(values, name);
  switch (type) {
    case "F32":
    case "BF16":
      return fromFloat32(values, type);
    case "F16": {
      const codes = new Float16Array(values);
      const wrong = codes.findIndex((code) => !Number.isFinite(code));
      if (wrong >= 0) throw tooLarge(name, values[wrong], 65504, "f16");
      return new Uint8Array(codes.buffer);
    }
    case "Q8_0":
      return encodeQ8(values, name);
    case "Q4_0":
      return encodeQ4(values, name);
  }
}

/** Scale max |x| / 127; codes are signed bytes. */
function encodeQ8(values: Float32Array, name: string): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / BLOCK * ELEMENTS.Q8_0.bytes);
  const view = new DataView(out.buffer);
  for (let first = 0, at = 0; first < values.length; first += BLOCK, at += ELEMENTS.Q8_0.bytes) {
    let most = 0;
    for (let i = 0; i < BLOCK; i++) most = Math.max(most, Math.abs(values[first + i]));
    const scale = Math.fround(most / 127);
    writeScale(view, at, scale, name, most);
    const inverse = reciprocal(scale);
    for (let i = 0; i < BLOCK; i++) {
      const x = Math.fround(values[first + i] * inverse);
      // Half away from zero, as C's roundf; Math.round takes halves up.
      view.setInt8(at + 2 + i, Math.sign(x) * Math.floor(Math.abs(x) + 0.5));
    }
  }
  return out;
}

/**
 * Scale x / −8 for the x of the largest magnitude; codes 0 to 15 stand for −8 to 7. A byte holds one
 * element of the first half of the block in its low bits, and one of the second half.
 */
function encodeQ4(values: Float32Array, name: string): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / BLOCK * ELEMENTS.Q4_0.bytes);
  const view = new DataView(out.buffer);
  const half = BLOCK / 2;
  for (let first = 0, at = 0; first < values.length; first += BLOCK, at += ELEMENTS.Q4_0.bytes) {
    let most = 0;
    for (let i = 0; i < BLOCK; i++) {
      if (Math.abs(values[first + i]) > Math.abs(most)) most = values[first + i];
    }
    const scale = Math.fround(most / -8);
    writeScale(view, at, scale, name, most);
    const inverse = reciprocal(scale);
    // The product is exact in f64 and the sum is rounded once, as by a fused multiply-add.
    const code = (i: number) => Math.min(15, Math.trunc(Math.fround(values[i] * inverse + 8.5)));
    for (let i = 0; i < half; i++) {
      out[at + 2 + i] = code(first + i) | code(first + half + i) << 4;
    }
  }
  return out;
}

function reciprocal(scale: number): number {
  // Of the smallest subnormal numbers it is infinite, and 0 times that is no number.
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  return Number.isFinite(inverse) ? inverse : 0;
}

function writeScale(view: DataView, at: number, scale: number, name: string, most: number): void {
  view.setFloat16(at, scale, true);
  if (!Number.isFinite(view.getFloat16(at, true))) {
    throw tooLarge(name, most, 65504 * Math.abs(most / scale), "blocks with an f16 scale");
  }
}

function expectFinite(values: Float32Array, name: string): void {
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return;
  throw new ModelError(
    `Cannot export "${name}" as its value ${wrong} is ${values[wrong]}: weights must be finite; ` +
      "train again with a lower learning rate, or fetch the model again",
  );
}

function tooLarge(name: string, value: number, most: number, what: string): ModelError {
  return new ModelError(
    `Cannot export "${name}" as it holds ${value}: ${what} has no value beyond ` +
      `±${Math.round(most)}; choose f32 or bf16`,
  );
}
