/**
 * Checkpoints: everything a run needs to go on bit for bit.
 *
 * `checkpoint-<step>/state.json` says what it is of and where the data stood; `state.safetensors`
 * holds the parameters where they are kept, AdamW's moments and what the method keeps. A checkpoint's folder appears
 * under its name only when it is whole.
 *
 * @module
 */

import { join } from "node:path";
import type { LoaderPosition } from "../data/types.ts";
import { FileError, OptionError } from "../errors.ts";
import type { BufferView, Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { removeFolderAtomically, writeFolderAtomically } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import { isJsonObject, readJson } from "../io/json.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "../io/safetensors.ts";
import type { Network } from "../model/network.ts";

const FORMAT = "falqon-checkpoint-1";
const STATE_FILE = "state.json";
const TENSORS_FILE = "state.safetensors";
const FOLDER = /^checkpoint-(\d+)$/;
/** Bytes of a GPU buffer that are on the host at a time. */
const CHUNK = 1 << 26;

/** What `state.json` holds. */
export interface CheckpointState {
  /** Optimizer steps done. */
  step: number;
  /** Tokens trained on. */
  tokens: number;
  /** Position from which the data continues; null at the start. */
  position: LoaderPosition | null;
  /** Name of the method. */
  method: string;
  /** The run's options, to tell the user what differs. */
  options: Record<string, unknown>;
}

/** Writes a checkpoint under `folder` and removes all but the `keep` newest. */
export async function writeCheckpoint(
  folder: string,
  network: Network,
  state: CheckpointState,
  keep: number,
): Promise<void> {
  const { device } = network;
  await writeFolderAtomically(join(folder, `checkpoint-${state.step}`), async (temporary) => {
    const tensors = tensorSources(device, buffersOf(network));
    await writeSafetensors(join(temporary, TENSORS_FILE), tensors);
    const text = JSON.stringify({ format: FORMAT, ...state }, null, 2);
    await Deno.writeTextFile(join(temporary, STATE_FILE), text);
  }, { overwrite: true });
  const steps = await listCheckpoints(folder);
  for (const step of steps.slice(0, -keep)) {
    await removeFolderAtomically(join(folder, `checkpoint-${step}`));
  }
}

/**
 * Finds the checkpoint to go on from: the folder itself, or the newest in it.
 *
 * @throws {FileError} if there is none, or it is damaged.
 */
export async function findCheckpoint(
  folder: string,
): Promise<{ path: string; state: CheckpointState }> {
  if (await exists(join(folder, STATE_FILE))) {
    return { path: folder, state: await readState(folder) };
  }
  const newest = (await listCheckpoints(folder)).at(-1);
  if (newest === undefined) {
    throw new FileError(
      `Cannot resume from "${folder}" as it holds no checkpoint: give the output folder of a run ` +
        "that was started with saveEvery",
    );
  }
  const path = join(folder, `checkpoint-${newest}`);
  return { path, state: await readState(path) };
}

/**
 * Fills a network, made for restoring, from a checkpoint.
 *
 * @throws {FileError} if the checkpoint is damaged.
 * @throws {OptionError} if it is of another method, rank or model.
 */
export async function restoreCheckpoint(path: string, network: Network): Promise<void> {
  using file = await SafetensorsFile.open(join(path, TENSORS_FILE));
  const buffers = buffersOf(network);
  for (const [name, views] of buffers) {
    const stored = file.tensors.get(name);
    const size = bytesOf(views);
    if (!stored || stored.byteLength !== size) {
      const found = stored ? `${stored.byteLength} bytes` : "nothing";
      throw new OptionError(
        `Cannot resume from "${path}" as it has ${found} for "${name}" and this run needs ` +
          `${size} bytes: use the model, method, rank and targets that it was made with`,
      );
    }
    let first = 0;
    for (const view of views) {
      for (let at = 0; at < view.size; at += CHUNK) {
        const length = Math.min(CHUNK, view.size - at);
        network.device.write(view, await file.readRange(name, first + at, length), at);
      }
      first += view.size;
    }
  }
  await network.layers.refresh?.();
}

/**
 * Every buffer that a run changes, and those that could not be made again bit for bit. The segments of
 * parameters are one tensor, so that a run resumes on a GPU that needs more of them, or fewer.
 */
function buffersOf(network: Network): Map<string, readonly BufferView[]> {
  const segments = network.parameters.trainedSegments;
  const values = segments.map(({ values }) => values).filter((it): it is Vector => it !== null);
  return new Map<string, readonly BufferView[]>([
    ...(values.length > 0 ? [["parameters", values] as const] : []),
    ["first_moments", segments.map(({ m }) => m)],
    ["second_moments", segments.map(({ v }) => v)],
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
    const data = async function* () {
      if (size > CHUNK) {
        for (const view of views) yield* readChunks(device, view);
        return;
      }
      if (contents?.group !== members) {
        contents = { group: members, buffers: await device.readAll(members) };
      }
      for (const i of views.keys()) yield new Uint8Array(contents.buffers[index + i]);
    };
    return { name, dtype: "U8", shape: [size], data };
  });
}

async function* readChunks(device: Device, view: BufferView): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < view.size; at += CHUNK) {
    const size = Math.min(CHUNK, view.size - at);
    yield new Uint8Array(await device.read({ ...view, offset: view.offset + at, size }));
  }
}

/** Removes every checkpoint in a folder. */
export async function removeCheckpoints(folder: string): Promise<void> {
  for (const step of await listCheckpoints(folder)) {
    await removeFolderAtomically(join(folder, `checkpoint-${step}`));
  }
}

/** Steps of the checkpoints in a folder, ascending. */
async function listCheckpoints(folder: string): Promise<number[]> {
  const steps: number[] = [];
  if (!await exists(folder)) return steps;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const match = FOLDER.exec(name);
    if (match && isDirectory) steps.push(Number(match[1]));
  }
  return steps.sort((a, b) => a - b);
}

async function readState(path: string): Promise<CheckpointState> {
  const json = await readJson(join(path, STATE_FILE));
  if (!isJsonObject(json) || json.format !== FORMAT || typeof json.step !== "number") {
    throw new FileError(
      `Cannot resume from "${path}" as its ${STATE_FILE} is not of the format ${FORMAT}: ` +
        "it was written by another version or is damaged",
    );
  }
  return json as unknown as CheckpointState;
}
