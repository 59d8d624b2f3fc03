/**
 * The tensors of a checkpoint: everything that a run changes on the GPU, with a checksum of each.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { FileError, OptionError, TrainingError } from "../errors.ts";
import type { BufferView, Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { findNotFinite } from "../io/finite.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "../io/safetensors.ts";
import type { Network } from "../model/network.ts";

/** Bytes of a GPU buffer that are on the host at a time. */
const CHUNK = 1 << 26;

/** SHA-256 in hexadecimal of each tensor, by name. */
export type Checksums = Readonly<Record<string, string>>;

/** Writes the state of a network. */
export async function writeTensors(path: string, network: Network): Promise<Checksums> {
  const checksums = new Map<string, string>();
  await writeSafetensors(path, tensorSources(network.device, buffersOf(network), checksums));
  return Object.fromEntries(checksums);
}

/**
 * Fills a network, made for restoring, from the file. One that only runs takes what it has.
 *
 * @param folder Of the checkpoint, for messages.
 * @param checksums Of the tensors, where the checkpoint has them.
 * @throws {FileError} if the file is damaged.
 * @throws {OptionError} if it is of another method, rank or model.
 */
export async function readTensors(
  path: string,
  network: Network,
  folder: string,
  checksums: Checksums,
): Promise<void> {
  using file = await SafetensorsFile.open(path);
  for (const [name, views] of buffersOf(network)) {
    const stored = file.tensors.get(name);
    const size = bytesOf(views);
    if (!stored && Object.hasOwn(checksums, name)) throw damaged(folder, name);
    if (!stored || stored.byteLength !== size) {
      const found = stored ? `${stored.byteLength} bytes` : "nothing";
      throw new OptionError(
        `Cannot resume from "${folder}" as it has ${found} for "${name}" and this run needs ` +
          `${size} bytes: use the model, method, rank and targets that it was made with`,
      );
    }
    const hash = createHash("sha256");
    let first = 0;
    for (const view of views) {
      for (let at = 0; at < view.size; at += CHUNK) {
        const bytes = await file.readRange(name, first + at, Math.min(CHUNK, view.size - at));
        hash.update(bytes);
        network.device.write(view, bytes, at);
      }
      first += view.size;
    }
    const isOther = Object.hasOwn(checksums, name) && hash.digest("hex") !== checksums[name];
    if (isOther) throw damaged(folder, name);
  }
  await network.layers.refresh?.();
}

/**
 * Reads a file to its end and compares its checksums.
 *
 * @param folder Of the checkpoint, for messages.
 * @throws {FileError} if the file is damaged.
 */
export async function checkTensors(
  path: string,
  folder: string,
  checksums: Checksums,
): Promise<void> {
  using file = await SafetensorsFile.open(path);
  for (const [name, checksum] of Object.entries(checksums)) {
    const stored = file.tensors.get(name);
    if (!stored) throw damaged(folder, name);
    const hash = createHash("sha256");
    for (let at = 0; at < stored.byteLength; at += CHUNK) {
      hash.update(await file.readRange(name, at, Math.min(CHUNK, stored.byteLength - at)));
    }
    if (hash.digest("hex") !== checksum) throw damaged(folder, name);
  }
}

function damaged(folder: string, name: string): FileError {
  return new FileError(
    `Cannot resume from "${folder}" as the checksum of "${name}" is wrong, so the file was ` +
      "damaged after it was written: copy it again",
  );
}

/**
 * Every buffer that a run changes, and those that could not be made again bit for bit. The segments of
 * parameters are one tensor, so that a run resumes on a GPU that needs more of them, or fewer.
 */
function buffersOf(network: Network): Map<string, readonly BufferView[]> {
  const { segments } = network.parameters;
  // A network that only runs has no moments, and one of some methods no values.
  const flat = (name: string, vectors: readonly (Vector | null)[]) => {
    const present = vectors.filter((vector) => vector !== null);
    return present.length > 0 ? [[name, present] as const] : [];
  };
  return new Map<string, readonly BufferView[]>([
    ...flat("parameters", segments.map(({ values }) => values)),
    ...flat("first_moments", segments.map(({ m }) => m)),
    ...flat("second_moments", segments.map(({ v }) => v)),
    ...[...network.layers.state?.() ?? []].map(([name, view]) => [name, [view]] as const),
  ]);
}

function bytesOf(views: readonly BufferView[]): number {
  return views.reduce((sum, { size }) => sum + size, 0);
}

/**
 * Buffers as tensors of bytes, to be written in this order. A read-back costs a round trip however
 * small it is, so small buffers that follow each other are read together; large ones in chunks.
 */
function tensorSources(
  device: Device,
  buffers: Map<string, readonly BufferView[]>,
  checksums: Map<string, string>,
): TensorSource[] {
  let group: BufferView[] = [];
  let bytes = Infinity;
  /** Of the group whose turn it is. */
  let contents: { group: BufferView[]; buffers: ArrayBuffer[] } | null = null;
  return [...buffers].map(([name, views]) => {
    const size = bytesOf(views);
    if (bytes + size > CHUNK) [group, bytes] = [[], 0];
    const [members, index] = [group, group.push(...views) - views.length];
    bytes += size;
    const bytesOfTensor = async function* () {
      if (size > CHUNK) {
        for (const view of views) yield* readChunks(device, view);
        return;
      }
      if (contents?.group !== members) {
        contents = { group: members, buffers: await device.readAll(members) };
      }
      for (const i of views.keys()) yield new Uint8Array(contents.buffers[index + i]);
    };
    const data = async function* () {
      const hash = createHash("sha256");
      for await (const bytes of bytesOfTensor()) {
        if (FLOATS.includes(name)) expectNumbers(name, bytes);
        hash.update(bytes);
        yield bytes;
      }
      checksums.set(name, hash.digest("hex"));
    };
    return { name, dtype: "U8", shape: [size], data };
  });
}

/** What AdamW keeps: numbers in f32, in every method. */
const FLOATS = ["parameters", "first_moments", "second_moments"];

/** The last update of a run has no loss after it that would tell that it left the range of f32. */
function expectNumbers(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  const outlier = findNotFinite(bytes, "F32");
  if (outlier === null) return;
  throw new TrainingError(
    `Cannot write a checkpoint as the ${
      name.replace("_", " ")
    } have a value that is ${outlier.shown}: ` +
      "the training diverged, so reduce the learning rate, and start again or resume from an earlier " +
      "checkpoint",
  );
}

async function* readChunks(
  device: Device,
  view: BufferView,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < view.size; at += CHUNK) {
    const size = Math.min(CHUNK, view.size - at);
    yield new Uint8Array(await device.read({ ...view, offset: view.offset + at, size }));
  }
}
