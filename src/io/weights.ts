/**
 * The weights of a Hugging Face model folder as one collection of tensors, whether they lie in a
 * single file or are sharded over many.
 *
 * @module
 */

import { basename, join } from "node:path";
import { FileError } from "../errors.ts";
import { exists } from "./exists.ts";
import { isJsonObject, readJson, showJson } from "./json.ts";
import { aboutPickles } from "./pickles.ts";
import { LARGEST_LIST } from "./text_file.ts";
import { SafetensorsFile, type TensorInfo } from "./safetensors.ts";

/** The name of the weights of a folder that does not shard them. */
export const WEIGHTS_FILE = "model.safetensors";
/** The name of the file that lists which shard holds which tensor. */
export const WEIGHTS_INDEX_FILE = "model.safetensors.index.json";

/** The open weights of a model folder. Close them, or declare them with `using`. */
export class Weights implements Disposable {
  /** The folder. */
  readonly folder: string;
  /** By the name in the file. */
  readonly #files: ReadonlyMap<string, SafetensorsFile>;
  /** The name in the file, by the name that a tensor goes by here. */
  readonly #stored: Map<string, string>;

  private constructor(folder: string, files: ReadonlyMap<string, SafetensorsFile>) {
    this.folder = folder;
    this.#files = files;
    this.#stored = new Map([...files.keys()].map((name) => [name, name]));
  }

  /**
   * Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
   *
   * @throws {FileError} if neither is there, a shard is missing or lacks a tensor that the index
   * places in it, or any file is damaged.
   */
  static async open(folder: string): Promise<Weights> {
    if (await exists(join(folder, WEIGHTS_FILE))) {
      const file = await SafetensorsFile.open(join(folder, WEIGHTS_FILE));
      return new Weights(folder, new Map([...file.tensors.keys()].map((name) => [name, file])));
    }
    const indexPath = join(folder, WEIGHTS_INDEX_FILE);
    if (!await exists(indexPath)) {
      throw new FileError(
        `Cannot find weights in "${folder}": it has neither ${WEIGHTS_FILE} nor ` +
          `${WEIGHTS_INDEX_FILE}${await aboutPickles(
            folder,
          )}; give a Hugging Face model folder with safetensors weights`,
      );
    }
    return new Weights(folder, await openShards(folder, indexPath));
  }

  /** Bytes of the tensors of the largest shard; undefined where all are in one file. */
  get shardBytes(): number | undefined {
    const files = [...new Set(this.#files.values())];
    if (files.length <= 1) return undefined;
    return Math.max(
      ...files.map(({ tensors }) =>
        tensors.values().reduce((sum, { byteLength }) => sum + byteLength, 0)
      ),
    );
  }

  /** Whether there is a tensor of this name. */
  has(name: string): boolean {
    return this.#stored.has(name);
  }

  /** From now on, `name` means the tensor that goes by the name `other` too. */
  alias(name: string, other: string): void {
    this.#stored.set(name, this.#storedName(other));
  }

  /** From now on, every tensor goes by the name that `rename` makes of its own. */
  rename(rename: (name: string) => string): void {
    const renamed = [...this.#stored].map(([name, stored]) => [rename(name), stored] as const);
    this.#stored.clear();
    for (const [name, stored] of renamed) this.#stored.set(name, stored);
  }

  /** The names that tensors go by. */
  names(): IterableIterator<string> {
    return this.#stored.keys();
  }

  /**
   * The dtype, shape and length of a tensor.
   *
   * @throws {FileError} if there is no such tensor.
   */
  info(name: string): TensorInfo {
    return this.#file(name).tensors.get(this.#storedName(name))!;
  }

  /**
   * The path of the file that a tensor is in.
   *
   * @throws {FileError} if there is no such tensor.
   */
  pathOf(name: string): string {
    return this.#file(name).path;
  }

  /**
   * Reads a whole tensor.
   *
   * @throws {FileError} if there is no such tensor, or its bytes cannot be read.
   */
  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#file(name).read(this.#storedName(name));
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
    return await this.#file(name).readRange(this.#storedName(name), byteStart, byteLength);
  }

  /** Closes all files; a second call does nothing. */
  close(): void {
    for (const file of new Set(this.#files.values())) file.close();
  }

  /** The same as {@linkcode close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #storedName(name: string): string {
    return this.#stored.get(name) ?? name;
  }

  #file(name: string): SafetensorsFile {
    const file = this.#files.get(this.#storedName(name));
    if (!file) {
      throw new FileError(
        `Cannot find the tensor "${name}" in "${this.folder}": none of its ${this.#files.size} ` +
          `tensors has this name; check that the weights belong to the model in config.json`,
      );
    }
    return file;
  }
}

/** Opens every shard once; the result maps each tensor of the index to its open shard. */
async function openShards(
  folder: string,
  indexPath: string,
): Promise<Map<string, SafetensorsFile>> {
  const index = await readJson(indexPath, LARGEST_LIST);
  const weightMap = isJsonObject(index) ? index.weight_map : undefined;
  if (!isJsonObject(weightMap)) {
    throw new FileError(
      `Cannot read "${indexPath}": its weight_map must map tensor names to files, and is ` +
        `${showJson(weightMap)}; fetch the file again`,
    );
  }
  const shards = new Map<string, SafetensorsFile>();
  const files = new Map<string, SafetensorsFile>();
  try {
    for (const [tensor, shard] of Object.entries(weightMap)) {
      // A path would let an index from elsewhere read outside of its folder.
      if (typeof shard !== "string" || !/^[^.]/.test(shard) || shard !== basename(shard)) {
        throw new FileError(
          `Cannot read "${indexPath}": it places ${showJson(tensor)} in ${
            showJson(shard)
          }, which is not ` +
            `the name of a file in its folder; fetch the index again`,
        );
      }
      let file = shards.get(shard);
      if (!file) {
        file = await openShard(folder, shard);
        shards.set(shard, file);
      }
      if (!file.tensors.has(tensor)) {
        throw new FileError(
          `Cannot find the tensor ${
            showJson(tensor)
          } in "${file.path}", where ${WEIGHTS_INDEX_FILE} ` +
            `places it; fetch the shard and the index again`,
        );
      }
      files.set(tensor, file);
    }
    return files;
  } catch (error) {
    for (const file of shards.values()) file.close();
    throw error;
  }
}

async function openShard(folder: string, shard: string): Promise<SafetensorsFile> {
  if (!await exists(join(folder, shard))) {
    throw new FileError(
      `Cannot find the shard "${shard}" in "${folder}", which ${WEIGHTS_INDEX_FILE} names; fetch ` +
        `the missing file`,
    );
  }
  return await SafetensorsFile.open(join(folder, shard));
}
