/**
 * A run without a GPU: the files of a real one, with parameters that each step changes in a way of its own.
 *
 * @module
 */

import { join } from "node:path";
import { emptyStatistics } from "../../src/data/statistics.ts";
import { FolderLock } from "../../src/io/folder_lock.ts";
import type { Network } from "../../src/model/network.ts";
import {
  type Checkpoint,
  findCheckpoint,
  listCheckpoints,
  restoreCheckpoint,
} from "../../src/train/checkpoint.ts";
import { Evaluations } from "../../src/train/evaluations.ts";
import { tidyFolder } from "../../src/train/folder_order.ts";
import { LOG_FILE } from "../../src/train/log.ts";
import { RunFiles, type Standing } from "../../src/train/run_files.ts";
import type { Setup } from "../../src/train/setup.ts";

/** Bytes of the parameters. */
const SIZE = 48;

interface View {
  size: number;
  offset: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Buffers in memory behind the part of a network that checkpoints use. */
export function dryNetwork(): { network: Network; view: View } {
  const view = { size: SIZE, offset: 0, bytes: new Uint8Array(SIZE) };
  const network = {
    method: { name: "full" },
    parameters: { segments: [{ values: null, m: view, v: null }] },
    layers: {},
    device: {
      name: "none",
      provider: "native",
      readAll: (views: View[]) => Promise.resolve(views.map(({ bytes }) => bytes.slice().buffer)),
      write: (to: View, bytes: Uint8Array, at: number) => to.bytes.set(bytes, at),
    },
  };
  return { network: network as unknown as Network, view };
}

/** How a run goes. */
export interface DryRun {
  steps: number;
  /** The checkpoint to go on from. Default: the newest, or none. */
  from?: number;
  /** Multiplies what a step adds, as another learning rate would. */
  rate?: number;
  /** Is called when a checkpoint is written. */
  onSaved?: (step: number) => void;
  onNotice?: (notice: string) => void;
}

/** Begins a run in a folder, or goes on with it: it saves after every second step, and keeps two checkpoints. */
export async function dryRun(
  folder: string,
  { steps, from, rate = 1, onSaved = () => {}, onNotice = () => {} }: DryRun,
): Promise<void> {
  using lock = await FolderLock.take(folder);
  await tidyFolder(folder);
  const { network, view } = dryNetwork();
  const found = await listCheckpoints(folder);
  let checkpoint: Checkpoint | null = null;
  if (found.length > 0) {
    checkpoint = await findCheckpoint(
      from === undefined ? folder : join(folder, `checkpoint-${from}`),
    );
    await restoreCheckpoint(checkpoint, network);
  }
  const setup = {
    source: { outputDir: folder, onNotice },
    options: { saveEvery: 2, keepCheckpoints: 2 },
    fingerprints: { model: null, tokenizer: null, data: null },
    checkpoint: checkpoint?.state ?? null,
    date: null,
    resumedFrom: checkpoint?.path ?? null,
    network,
    lock,
  } as unknown as Setup;
  using files = new RunFiles(setup, new Evaluations(setup));
  const first = checkpoint?.state.step ?? 0;
  for (let step = first + 1; step <= steps; step++) {
    await files.open(step - 1);
    // As f32 they are numbers: those around 1.
    view.bytes.forEach((byte, i) =>
      view.bytes[i] = i % 4 === 3 ? 0x3f : byte * 5 + i + step * rate
    );
    await files.append([{ step, loss: view.bytes[step % SIZE] / 7 }]);
    if (step % 2 > 0) continue;
    await files.save(standingAt(step));
    onSaved(step);
  }
  await files.finish(standingAt(steps));
  onSaved(steps);
  await files.sync();
}

function standingAt(step: number): Standing {
  const statistics = { ...emptyStatistics(), rows: 4 * step, documents: 4 * step };
  const position = { epoch: 0, drawn: 4 * step, row: 1, batch: step, statistics, order: "" };
  return { step, tokens: 10 * step, position };
}

/** Every file below a folder, as text. */
export function contentsOf(folder: string, prefix = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    if (isDirectory) Object.assign(found, contentsOf(path, `${prefix}${name}/`));
    else found[prefix + name] = new TextDecoder("latin1").decode(Deno.readFileSync(path));
  }
  return found;
}

export { LOG_FILE };
