/**
 * Writes safetensors files: checkpoints, models and adapters.
 *
 * @module
 */

import { FileError, OptionError } from "../errors.ts";
import { writeAll, writeFileAtomically } from "./atomic.ts";
import { bytesPerElement, type DType } from "./dtype.ts";
import { elementCount, LENGTH_BYTES } from "./safetensors_header.ts";

/** A tensor to write. Its bytes are requested when they are written, and not kept. */
export interface TensorSource {
  /** The name, unique in the file. */
  name: string;
  /** The type of an element. */
  dtype: DType;
  /** The sizes, slowest axis first; empty for a scalar. */
  shape: readonly number[];
  /** Produces the tensor's bytes, little-endian, at once or in chunks. */
  data: () => Uint8Array | Promise<Uint8Array> | AsyncIterable<Uint8Array>;
}

/**
 * Writes a safetensors file atomically, one tensor in memory at a time.
 *
 * The tensors are laid out by falling element size, otherwise in the order given, so that every
 * one of them is aligned to its element, which is what the reference implementation does.
 *
 * @param metadata Free text pairs; `format: "pt"` is what transformers looks for.
 * @throws {OptionError} if a name occurs twice or a shape is not one.
 * @throws {FileError} if a tensor does not produce the bytes that its shape takes, or the file
 * cannot be written; an older file at `path` is then untouched.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  metadata: Record<string, string> = { format: "pt" },
): Promise<void> {
  const sources = [...tensors].sort((a, b) => bytesPerElement(b.dtype) - bytesPerElement(a.dtype));
  const lengths = sources.map(byteLength);
  const header = encodeHeader(sources, lengths, metadata);
  await writeFileAtomically(path, async (file) => {
    const prefix = new Uint8Array(LENGTH_BYTES);
    new DataView(prefix.buffer).setBigUint64(0, BigInt(header.length), true);
    await writeAll(file, prefix);
    await writeAll(file, header);
    for (const [index, source] of sources.entries()) {
      await writeTensor(file, source, lengths[index], path);
    }
  });
}

function byteLength({ name, dtype, shape }: TensorSource): number {
  const count = elementCount(shape);
  if (count === undefined) {
    throw new OptionError(
      `Cannot write the tensor "${name}": its shape [${shape}] must be a list of integers of at ` +
        `least 0`,
    );
  }
  return count * bytesPerElement(dtype);
}

/** The header as JSON, padded with spaces to 8 bytes so that the tensors after it are aligned. */
function encodeHeader(
  sources: TensorSource[],
  lengths: number[],
  metadata: Record<string, string>,
): Uint8Array {
  const entries = new Map<string, unknown>([["__metadata__", metadata]]);
  let end = 0;
  for (const [index, { name, dtype, shape }] of sources.entries()) {
    if (entries.has(name)) {
      throw new OptionError(`Cannot write two tensors named "${name}": rename or drop one`);
    }
    const begin = end;
    end += lengths[index];
    entries.set(name, { dtype, shape, data_offsets: [begin, end] });
  }
  const json = JSON.stringify(Object.fromEntries(entries));
  const bytes = new TextEncoder().encode(json);
  const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8).fill(" ".charCodeAt(0));
  padded.set(bytes);
  return padded;
}

async function writeTensor(
  file: Deno.FsFile,
  { name, dtype, shape, data }: TensorSource,
  length: number,
  path: string,
): Promise<void> {
  const wrongLength = (found: string) =>
    new FileError(
      `Cannot write "${path}": tensor "${name}" of ${dtype} [${shape}] takes ${length} bytes, but ` +
        `its data has ${found}; make the shape and the data agree`,
    );
  let written = 0;
  const produced = await data();
  for await (const chunk of produced instanceof Uint8Array ? [produced] : produced) {
    if (written + chunk.length > length) throw wrongLength(`at least ${written + chunk.length}`);
    await writeAll(file, chunk);
    written += chunk.length;
  }
  if (written !== length) throw wrongLength(`${written}`);
}
