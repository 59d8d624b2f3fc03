/**
 * Writes GGUF files, version 3: the format of llama.cpp and of what is built on it. A file is a header,
 * pairs of keys and values, the list of tensors, and their bytes, each at a multiple of 32.
 *
 * @module
 */

import { FileError } from "../../errors.ts";
import { writeAll, writeFileAtomically } from "../atomic.ts";
import { ELEMENTS, type GgufElement } from "./encode.ts";

/** A value of a file's metadata, by its type there. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] }
  | { readonly bools: readonly boolean[] };

/** The metadata of a file, in the order of the file. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** A tensor to write. Its bytes are asked for when they are written, and not kept. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgufElement;
  /** The sizes, slowest axis first. */
  readonly shape: readonly number[];
  /** Produces the encoded rows, in chunks. */
  data(): AsyncIterable<Uint8Array>;
}

/** The numbers of the types of values. */
const TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 };
/** Bytes that tensors begin at multiples of. */
const ALIGNMENT = 32;
const MAGIC = "GGUF";
const VERSION = 3;

/** The bytes of a tensor in a file. */
export function tensorBytes({ type, shape }: Pick<GgufTensor, "type" | "shape">): number {
  const { elements, bytes } = ELEMENTS[type];
  return shape.reduce((a, b) => a * b, 1) / elements * bytes;
}

/** A file that is laid out, and not written yet. */
export interface GgufLayout {
  readonly header: Uint8Array<ArrayBuffer>;
  readonly tensors: readonly GgufTensor[];
  /** Bytes of the whole file. */
  readonly byteLength: number;
}

/** Lays a file out. */
export function layOutGguf(metadata: GgufMetadata, tensors: readonly GgufTensor[]): GgufLayout {
  const out = new Bytes();
  out.raw(new TextEncoder().encode(MAGIC));
  out.u32(VERSION);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    writeValue(out, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.string(tensor.name);
    out.u32(tensor.shape.length);
    for (const size of tensor.shape.toReversed()) out.u64(size);
    out.u32(ELEMENTS[tensor.type].id);
    out.u64(offset);
    offset += aligned(tensorBytes(tensor));
  }
  out.raw(new Uint8Array(aligned(out.length) - out.length));
  const header = out.take();
  return { header, tensors, byteLength: header.length + offset };
}

/**
 * Writes a file atomically, with no more in memory than a chunk.
 *
 * @throws {FileError} if it cannot be written, or a tensor has other bytes than its shape takes; an older
 * file is then untouched, and nothing half-written is left.
 */
export async function writeGguf(path: string, { header, tensors }: GgufLayout): Promise<void> {
  await writeFileAtomically(path, async (file) => {
    await writeAll(file, header);
    for (const tensor of tensors) {
      const length = tensorBytes(tensor);
      let written = 0;
      for await (const chunk of tensor.data()) {
        await writeAll(file, chunk);
        written += chunk.length;
      }
      if (written !== length) {
        throw new FileError(
          `Cannot write "${path}": tensor "${tensor.name}" of ${tensor.type} [${tensor.shape}] takes ` +
            `${length} bytes, but its data has ${written}; make the shape and the data agree`,
        );
      }
      await writeAll(file, new Uint8Array(aligned(length) - length));
    }
  });
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

function writeValue(out: Bytes, value: GgufValue): void {
  const array = (type: number, length: number) => {
    out.u32(TYPES.array);
    out.u32(type);
    out.u64(length);
  };
  if ("u32" in value) {
    out.u32(TYPES.u32);
    out.u32(value.u32);
  } else if ("f32" in value) {
    out.u32(TYPES.f32);
    out.raw(new Uint8Array(Float32Array.of(value.f32).buffer));
  } else if ("bool" in value) {
    out.u32(TYPES.bool);
    out.raw(Uint8Array.of(Number(value.bool)));
  } else if ("string" in value) {
    out.u32(TYPES.string);
    out.string(value.string);
  } else if ("strings" in value) {
    array(TYPES.string, value.strings.length);
    for (const text of value.strings) out.string(text);
  } else if ("i32s" in value) {
    array(TYPES.i32, value.i32s.length);
    out.raw(new Uint8Array(Int32Array.from(value.i32s).buffer));
  } else if ("f32s" in value) {
    array(TYPES.f32, value.f32s.length);
    out.raw(new Uint8Array(Float32Array.from(value.f32s).buffer));
  } else {
    array(TYPES.bool, value.bools.length);
    out.raw(Uint8Array.from(value.bools, Number));
  }
}

/** Bytes that grow, little-endian. */
class Bytes {
  #bytes = new Uint8Array(1 << 16);
  length = 0;

  raw(bytes: Uint8Array): void {
    if (this.length + bytes.length > this.#bytes.length) {
      const grown = new Uint8Array(2 * (this.length + bytes.length));
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  u32(value: number): void {
    this.raw(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.raw(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.raw(bytes);
  }

  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length);
  }
}
