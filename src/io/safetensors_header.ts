/**
 * Parses the header of a safetensors file and checks it, because a file from elsewhere may be
 * damaged or hostile.
 *
 * @module
 */

import { FileError } from "../errors.ts";
import { bytesPerElement, type DType, DTYPES, isDType } from "./dtype.ts";
import { isJsonObject, parseJson, showJson } from "./json.ts";

/** One tensor of a safetensors file. */
export interface TensorInfo {
  /** The name, unique in its file. */
  readonly name: string;
  /** The type of an element. */
  readonly dtype: DType;
  /** The sizes, slowest axis first; empty for a scalar. */
  readonly shape: readonly number[];
  /** Where the tensor starts, in bytes from the start of the file. */
  readonly byteOffset: number;
  /** The length in bytes. */
  readonly byteLength: number;
}

/** The parsed header of a safetensors file. */
export interface SafetensorsHeader {
  /** The tensors by name, in the order of their bytes in the file. */
  readonly tensors: Map<string, TensorInfo>;
  /** The free text pairs under `__metadata__`. */
  readonly metadata: Record<string, string>;
}

/**
 * The largest header that is accepted, the limit of the reference implementation: without one a
 * hostile file could ask for any amount of memory.
 */
export const MAX_HEADER_BYTES = 100_000_000;

/** The most characters of a tensor's name. Published ones have less than 200. */
export const MAX_NAME = 512;

/** The length of the little-endian u64 in front of the header, which holds the header's length. */
export const LENGTH_BYTES = 8;

/**
 * The number of elements of a tensor of `shape`, or undefined when `shape` is not an array of
 * integers of at least 0 whose product a JavaScript number holds exactly.
 */
export function elementCount(shape: unknown): number | undefined {
  if (!Array.isArray(shape)) return undefined;
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/**
 * Parses and validates the header of a safetensors file: every byte after it must belong to
 * exactly one tensor, so that a lying file is refused before any of its data is used.
 *
 * @param bytes The header without its length.
 * @param dataLength How many bytes of the file follow the header.
 * @param path The path of the file, for messages.
 * @throws {FileError} if anything about the header is wrong.
 */
export function parseSafetensorsHeader(
  bytes: Uint8Array,
  dataLength: number,
  path: string,
): SafetensorsHeader {
  const fail = (problem: string) =>
    new FileError(
      `Cannot read "${path}": ${problem}; the file is damaged, fetch or write it again`,
    );

  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    json = parseJson(text);
  } catch (error) {
    throw fail(`its header is not valid JSON (${(error as Error).message})`);
  }
  if (!isJsonObject(json)) throw fail(`its header is not a JSON object but ${showJson(json)}`);
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw fail(`its header names ${showJson(duplicate)} twice`);

  const dataStart = LENGTH_BYTES + bytes.length;
  const infos: TensorInfo[] = [];
  for (const [name, entry] of Object.entries(json)) {
    if (name === "__metadata__") continue;
    if (name.length > MAX_NAME) {
      throw fail(`a tensor's name has ${name.length} characters, and at most ${MAX_NAME} are read`);
    }
    if (!isJsonObject(entry)) throw fail(`its header describes "${name}" as ${showJson(entry)}`);
    const { dtype, shape, data_offsets: offsets } = entry;
    if (!isDType(dtype)) {
      throw new FileError(
        `Cannot read "${path}": tensor "${name}" has the dtype ${showJson(dtype)}, which is none ` +
          `of ${DTYPES.join(", ")}; convert the tensor to one of these`,
      );
    }
    const count = elementCount(shape);
    if (count === undefined) {
      throw fail(
        `tensor "${name}" has the shape ${showJson(shape)}, which is not a list of sizes`,
      );
    }
    if (
      !Array.isArray(offsets) || offsets.length !== 2 ||
      !offsets.every((offset) => Number.isSafeInteger(offset) && offset >= 0) ||
      offsets[0] > offsets[1] || offsets[1] > dataLength
    ) {
      throw fail(
        `tensor "${name}" has the data_offsets ${showJson(offsets)}, which is no range within ` +
          `the ${dataLength} bytes that follow the header`,
      );
    }
    const byteLength = offsets[1] - offsets[0];
    if (byteLength !== count * bytesPerElement(dtype)) {
      throw fail(
        `tensor "${name}" of ${dtype} ${showJson(shape)} takes ` +
          `${count * bytesPerElement(dtype)} bytes, but its data_offsets span ${byteLength}`,
      );
    }
    const byteOffset = dataStart + offsets[0];
    infos.push({ name, dtype, shape: shape as number[], byteOffset, byteLength });
  }

  infos.sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const { name, byteOffset, byteLength } of infos) {
    if (byteOffset < end) throw fail(`tensor "${name}" overlaps the tensor before it`);
    if (byteOffset > end) throw fail(`${byteOffset - end} bytes before "${name}" are no tensor's`);
    end += byteLength;
  }
  const unused = dataStart + dataLength - end;
  if (unused > 0) throw fail(`the last ${unused} bytes belong to no tensor`);

  const metadata = json.__metadata__ ?? {};
  if (!isJsonObject(metadata) || Object.values(metadata).some((v) => typeof v !== "string")) {
    throw fail(`its __metadata__ is not a map of strings but ${showJson(metadata)}`);
  }
  return {
    tensors: new Map(infos.map((info) => [info.name, info])),
    metadata: metadata as Record<string, string>,
  };
}

/**
 * The first key that occurs twice in one object of `json`, which is known to be valid JSON.
 * `JSON.parse` keeps the last one silently, so two readers could see two different tensors.
 */
function findDuplicateKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  const colon = /\s*:/y;
  for (let i = 0; i < json.length; i++) {
    if (json[i] === "{") open.push(new Set());
    else if (json[i] === "}") open.pop();
    else if (json[i] === '"') {
      const start = i++;
      while (json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
      colon.lastIndex = i + 1;
      if (!colon.test(json)) continue; // a string that is a value
      const key: string = JSON.parse(json.slice(start, i + 1));
      const keys = open[open.length - 1];
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
