/**
 * The element types of safetensors files, and conversion of F32, F16 and BF16 to and from float32.
 * The two FP8 formats are only named: their values need scales, see numerics/fp8.ts.
 *
 * @module
 */

import { FileError } from "../errors.ts";

/** An element type, spelled as in a safetensors header. */
export type DType =
  | "BOOL"
  | "U8"
  | "I8"
  | "F8_E4M3"
  | "F8_E5M2"
  | "F8_E8M0"
  | "U16"
  | "I16"
  | "F16"
  | "BF16"
  | "U32"
  | "I32"
  | "F32"
  | "U64"
  | "I64"
  | "F64";

const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

/** The element types that {@linkcode toFloat32} and {@linkcode fromFloat32} convert. */
export type FloatDType = "F32" | "F16" | "BF16";

/** Every element type this package can store, in order of size. */
export const DTYPES: readonly DType[] = Object.keys(BYTES_PER_ELEMENT) as DType[];

/** Whether `name` is an element type this package can store. */
export function isDType(name: unknown): name is DType {
  return typeof name === "string" && Object.hasOwn(BYTES_PER_ELEMENT, name);
}

/** Whether elements of `dtype` convert to and from float32 without a scale. */
export function isFloatDType(dtype: DType): dtype is FloatDType {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** The size of one element of `dtype` in bytes. */
export function bytesPerElement(dtype: DType): number {
  return BYTES_PER_ELEMENT[dtype];
}

/**
 * Decodes little-endian `bytes` of F32, F16 or BF16 elements; every value is exact.
 *
 * The bytes may start at any offset of their buffer. F32 elements that are already aligned are
 * viewed in place, so the result may share memory with `bytes`.
 *
 * @throws {FileError} if `dtype` is another type, or `bytes` does not hold whole elements.
 */
export function toFloat32(bytes: Uint8Array<ArrayBuffer>, dtype: DType): Float32Array<ArrayBuffer> {
  if (!isFloatDType(dtype)) throw notAFloat("read", dtype);
  const size = BYTES_PER_ELEMENT[dtype];
  if (bytes.length % size !== 0) {
    throw new FileError(
      `Cannot read ${bytes.length} bytes as ${dtype}: an element takes ${size} bytes; read a ` +
        `multiple of ${size} bytes`,
    );
  }
  // Typed-array views need an aligned offset; a tensor in a file may have any.
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  const length = bytes.length / size;
  if (dtype === "F32") return new Float32Array(buffer, byteOffset, length);

  const values = new Float32Array(length);
  if (dtype === "F16") {
    values.set(new Float16Array(buffer, byteOffset, length));
  } else {
    const codes = new Uint16Array(buffer, byteOffset, length);
    const bits = new Uint32Array(values.buffer);
    for (let i = 0; i < length; i++) bits[i] = codes[i] << 16;
  }
  return values;
}

/**
 * Encodes `values` as little-endian elements of F32, F16 or BF16, rounding to nearest, ties to
 * even. NaN stays NaN; a value beyond the largest finite one becomes infinite, as IEEE 754 says.
 *
 * F32 is a view: the result then shares memory with `values`.
 *
 * @throws {FileError} if `dtype` is another type.
 */
export function fromFloat32(
  values: Float32Array<ArrayBuffer>,
  dtype: DType,
): Uint8Array<ArrayBuffer> {
  if (!isFloatDType(dtype)) throw notAFloat("write", dtype);
  const { buffer, byteOffset, byteLength, length } = values;
  if (dtype === "F32") return new Uint8Array(buffer, byteOffset, byteLength);
  if (dtype === "F16") return new Uint8Array(new Float16Array(values).buffer);

  const bits = new Uint32Array(buffer, byteOffset, length);
  const codes = new Uint16Array(length);
  for (let i = 0; i < length; i++) {
    const x = bits[i];
    // Rounding could carry a NaN's payload away and leave infinity, so NaN is made quiet instead.
    const isNaN = (x & 0x7fffffff) > 0x7f800000;
    codes[i] = isNaN ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(codes.buffer);
}

function notAFloat(verb: "read" | "write", dtype: DType): FileError {
  return new FileError(
    `Cannot ${verb} ${dtype} elements as float32: only F32, F16 and BF16 convert without a scale; ` +
      `${verb} the raw bytes instead`,
  );
}
