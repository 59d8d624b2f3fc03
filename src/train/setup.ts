/**
 * From options to everything that a trainer works with: checked, loaded, recorded. What was made is
 * freed again when something fails on the way.
 *
 * @module
 */

import { checkObject } from "../checks.ts";
import type { Loader } from "../data/types.ts";
import { OptionError } from "../errors.ts";
import { noticeOnConsole } from "../printable.ts";
import { today } from "../io/jinja_globals.ts";
import { FolderLock } from "../io/folder_lock.ts";
import { expectWritable } from "../io/writable.ts";
import type { Method } from "../layers/method.ts";
import { expectTrains } from "../methods/registry.ts";
import { CROSS_ENTROPY } from "../model/loss.ts";
import type { Network } from "../model/network.ts";
import { TrainingStep } from "../model/training_step.ts";
import { Random } from "../numerics/random.ts";
import {
  type Checkpoint,
  findCheckpoint,
  holdsRun,
  restoreCheckpoint,
  runFolderOf,
} from "./checkpoint.ts";
import type { CheckpointState } from "./checkpoint_state.ts";
import { Claim } from "./claim.ts";
import { expectSame, fingerprint, type Fingerprints } from "./fingerprint.ts";
import { bringBack, tidyFolder } from "./folder_order.ts";
import { firstBatches, initFromGradients } from "./gradient_init.ts";
import { expectSettings } from "./method_settings.ts";
import { madeBy, otherMaker } from "./made_by.ts";
import { type ResolvedOptions, resolveOptions, type TrainerOptions } from "./options.ts";
import { announceData, countSteps, openTrainingLoader } from "./training_data.ts";

/** What a trainer works with. */
export interface Setup {
  /** As given. */
  source: TrainerOptions;
  options: ResolvedOptions;
  network: Network;
  step: TrainingStep;
  loader: Loader;
  /** Null where the data decides. */
  totalSteps: number | null;
  /** Where the run continues; null for a new one. */
  checkpoint: CheckpointState | null;
  /** The folder of that checkpoint. */
  resumedFrom: string | null;
  /** What it was started with; null where no checkpoint is written. */
  fingerprints: Fingerprints | null;
  /** The day that the chat template is told; null where it does not name the date. */
  date: string | null;
  /** The right to write into the run's folder; null where nothing is written. */
  lock: FolderLock | null;
}

/**
 * Makes what a run needs. It comes to own the model's network.
 *
 * @throws What `Trainer.create` throws. The model is then as one that was never used.
 */
export async function setUp(source: TrainerOptions, signal?: AbortSignal): Promise<Setup> {
  checkObject("Trainer.create", source);
  const { model, method, outputDir } = source;
  const notice = source.onNotice ?? noticeOnConsole;
  const options = resolveOptions(source, notice);
  expectTrains(method);
  signal?.throwIfAborted();
  using made = new DisposableStack();
  const lock = outputDir === undefined ? null : made.use(await takeFolder(outputDir, notice));
  const checkpoint = await findStart(source, notice);
  if (checkpoint) {
    const { state, path } = checkpoint;
    expectMethod(state, method, path);
    expectSettings(path, state.settings, method, source.resumeAnyway ?? false);
  }
  const needsPrints = checkpoint !== null || options.saveEvery !== 0;
  const fingerprints = needsPrints ? await fingerprint(source) : null;
  if (checkpoint && !source.resumeAnyway) {
    const before = checkpoint.state.fingerprints ?? {};
    expectSame(checkpoint.path, before, fingerprints!, source.data);
  }
  const maker = otherMaker(checkpoint?.state.madeBy, madeBy(model.device));
  if (maker !== null) notice(maker);
  const date = dateOf(source, checkpoint, notice);
  await announceData(source, options, notice, signal);

  const random = new Random(options.seed);
  const network = await model.adapt(method, {
    random: () => random.uniform(),
    gradients: true,
    moments: true,
    restoring: checkpoint !== null,
    signal,
    onNotice: notice,
  });
  made.defer(() => model.release(network));
  // Another trainer, made at the same time, may take the model at any wait.
  const claim = new Claim(model, network);
  if (checkpoint) await restoreCheckpoint(checkpoint, network);
  claim.expect();
  const rows = options.batchSize * options.sequenceLength;
  const { gradientCheckpointing: checkpointing } = options;
  network.reserve({ tokens: rows, training: true, checkpointing });
  signal?.throwIfAborted();
  const loader = made.adopt(await openTrainingLoader(source, options, date), (it) => it.close());
  if (network.layers.gradientInit && !checkpoint) {
    const { seed, gradAccumSteps } = options;
    const batches = await firstBatches(loader, rows, gradAccumSteps);
    signal?.throwIfAborted();
    await initFromGradients(network, batches, rows, { seed, checkpointing, gradAccumSteps });
  }
  const totalSteps = await countSteps(source, options, date, notice, signal);
  claim.expect();
  const { optimizer, updateStats } = options;
  const recording = TrainingStep.create(network, rows, {
    loss: CROSS_ENTROPY,
    optimizer,
    checkpointing,
    updateStats,
  });
  const step = made.use(
    await recording.catch((error) => {
      claim.expect();
      throw error;
    }),
  );
  await model.device.finish();
  signal?.throwIfAborted();
  claim.expect();
  made.move(); // nothing failed: all of it is the trainer's
  return {
    ...{ source, options, network, step, loader, totalSteps, fingerprints, lock, date },
    checkpoint: checkpoint?.state ?? null,
    resumedFrom: checkpoint?.path ?? null,
  };
}

/**
 * The day that the chat template is told, if it names the date: that on which the run was begun, so that it
 * has the same rows on every day.
 */
function dateOf(
  { model: { tokenizer } }: TrainerOptions,
  checkpoint: Checkpoint | null,
  onNotice: (notice: string) => void,
): string | null {
  if (!tokenizer.chatTemplate?.namesDate) return null;
  const date = tokenizer.options.date ?? checkpoint?.state.date;
  if (checkpoint && date === undefined) {
    onNotice("the chat template names the date, which the checkpoint does not: it is told today's");
  }
  return date ?? today();
}

/** Makes sure that a folder can be written, and that nobody else writes there, from now on. */
async function takeFolder(folder: string, onNotice: (notice: string) => void): Promise<FolderLock> {
  await expectWritable(folder);
  return await FolderLock.take(folder, onNotice);
}

/** The checkpoint to go on from; null for a new run, which needs a folder without one. */
async function findStart(
  { outputDir, overwrite, resumeFrom, resumeFallback }: TrainerOptions,
  onNotice: (notice: string) => void,
): Promise<Checkpoint | null> {
  if (outputDir !== undefined) await tidyFolder(outputDir);
  if (resumeFrom === undefined) {
    if (outputDir !== undefined && !overwrite) await expectUnused(outputDir);
    return null;
  }
  await bringBack(await runFolderOf(resumeFrom));
  return await findCheckpoint(resumeFrom, resumeFallback ? onNotice : undefined);
}

/** A run's folder must not hold another run. */
async function expectUnused(folder: string): Promise<void> {
  if (!await holdsRun(folder)) return;
  throw new OptionError(
    `Cannot train into "${folder}" as it holds another run: choose another outputDir, remove it, ` +
      "or resume from it",
  );
}

function expectMethod({ method }: CheckpointState, { name }: Method, path: string): void {
  if (method === name) return;
  throw new OptionError(
    `Cannot resume from "${path}" by ${name} as it was trained by ${method}: use that method`,
  );
}
