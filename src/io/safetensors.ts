/**
 * Reading of safetensors files: a little-endian u64 with the length of the header, the header as
 * JSON (name, dtype, shape and byte range of every tensor), then the tensors' bytes. The file is
 * validated when it is opened, and tensors are read by byte range, so that one larger than memory
 * can go to the GPU chunk by chunk.
 *
 * @module
 */

import { FileError, OptionError } from "../errors.ts";
import { toFileError } from "./file_error.ts";
import {
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  type TensorInfo,
} from "./safetensors_header.ts";

export type { TensorInfo } from "./safetensors_header.ts";
export { type TensorSource, writeSafetensors } from "./safetensors_writer.ts";

/** An open safetensors file. Close it, or declare it with `using`. */
export class SafetensorsFile implements Disposable {
  /** The path the file was opened with. */
  readonly path: string;
  /** The tensors by name, in the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The free text pairs under `__metadata__` of the header. */
  readonly metadata: Readonly<Record<string, string>>;
  #file: Deno.FsFile | undefined;
  // Seek and read are two calls on one file position: concurrent reads must take turns.
  #lastRead: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: Deno.FsFile, header: SafetensorsHeader) {
    this.path = path;
    this.#file = file;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /**
   * Opens a file and validates its header against its length.
   *
   * @throws {FileError} if the file is missing, truncated or contradicts itself.
   */
  static async open(path: string): Promise<SafetensorsFile> {
    let file: Deno.FsFile | undefined;
    try {
      const { size, isFile } = await Deno.stat(path); // to open a pipe would wait for a writer
      if (!isFile) throw new FileError(`Cannot open "${path}": it is not a file; check the path`);
      file = await Deno.open(path);
      const headerLength = await readHeaderLength(file, size, path);
      const bytes = new Uint8Array(headerLength);
      await readFully(file, bytes, path);
      const header = parseSafetensorsHeader(bytes, size - LENGTH_BYTES - headerLength, path);
      return new SafetensorsFile(path, file, header);
    } catch (error) {
      file?.close();
      throw toFileError("open", path, error);
    }
  }

  /**
   * Reads a whole tensor.
   *
   * @throws {FileError} if there is no such tensor, or its bytes cannot be read.
   */
  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const info = this.#info(name);
    return await this.#read(info, 0, info.byteLength);
  }

  /**
   * Reads `byteLength` bytes of a tensor from its byte `byteStart` on.
   *
   * @throws {FileError} if there is no such tensor, or its bytes cannot be read.
   * @throws {OptionError} if the range leaves the tensor.
   */
  async readRange(
    name: string,
    byteStart: number,
    byteLength: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#read(this.#info(name), byteStart, byteLength);
  }

  /** Closes the file; a second call does nothing. */
  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  /** The same as {@linkcode close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (!info) {
      throw new FileError(
        `Cannot read the tensor "${name}": "${this.path}" has no tensor of this name among its ` +
          `${this.tensors.size}; check that the file belongs to this model`,
      );
    }
    return info;
  }

  async #read(
    { name, byteOffset, byteLength }: TensorInfo,
    start: number,
    length: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const whole = Number.isSafeInteger(start) && Number.isSafeInteger(length);
    if (!whole || start < 0 || length < 0 || start + length > byteLength) {
      throw new OptionError(
        `Cannot read ${length} bytes from byte ${start} of "${name}": it has ${byteLength} bytes; ` +
          `ask for a range within them`,
      );
    }
    const turn = this.#lastRead.then(async () => {
      const file = this.#file;
      if (!file) {
        throw new FileError(`Cannot read "${name}": "${this.path}" is closed; open it again`);
      }
      try {
        const bytes = new Uint8Array(length);
        await file.seek(byteOffset + start, Deno.SeekMode.Start);
        await readFully(file, bytes, this.path);
        return bytes;
      } catch (error) {
        throw toFileError("read", this.path, error);
      }
    });
    this.#lastRead = turn.catch(() => {}); // a failed read must not fail the next one
    return await turn;
  }
}

/** The length of the header, at which `file` is left positioned, checked against the file's. */
async function readHeaderLength(file: Deno.FsFile, size: number, path: string): Promise<number> {
  if (size < LENGTH_BYTES) {
    throw new FileError(
      `Cannot read "${path}": it has ${size} bytes, and a safetensors file starts with ` +
        `${LENGTH_BYTES}; the file is truncated, fetch it again`,
    );
  }
  const bytes = new Uint8Array(LENGTH_BYTES);
  await readFully(file, bytes, path);
  const length = new DataView(bytes.buffer).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new FileError(
      `Cannot read "${path}": it claims a header of ${length} bytes, and at most ` +
        `${MAX_HEADER_BYTES} are accepted; check that it is a safetensors file`,
    );
  }
  if (length > size - LENGTH_BYTES) {
    throw new FileError(
      `Cannot read "${path}": it claims a header of ${length} bytes, but only ` +
        `${size - LENGTH_BYTES} follow; the file is truncated, fetch it again`,
    );
  }
  return Number(length);
}

/** Fills `bytes` from the position of `file` on: one call of `read` may return only a part. */
async function readFully(file: Deno.FsFile, bytes: Uint8Array, path: string): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) {
      throw new FileError(
        `Cannot read "${path}": it ends ${bytes.length - done} bytes too early; it was cut while ` +
          `it was open, fetch it again`,
      );
    }
    done += count;
  }
}
