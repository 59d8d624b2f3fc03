/**
 * The training loop.
 *
 * @module
 */

import { openLoader } from "../data/open_loader.ts";
import { Random } from "../numerics/random.ts";
import { dataWarnings } from "../data/statistics.ts";
import type { Batch, Loader, LoaderPosition, LoaderStatistics } from "../data/types.ts";
import { OptionError, TrainingError } from "../errors.ts";
import type { Program } from "../gpu/program.ts";
import type { Model } from "../inference/model.ts";
import type { UpdateMetrics } from "../layers/method.ts";
import type { Network } from "../model/network.ts";
import { writeTokens } from "../model/token_buffers.ts";
import { learningRateSchedule } from "./schedule.ts";
import { type StepMetrics, StepState } from "../gpu/step_state.ts";
import {
  type CheckpointState,
  findCheckpoint,
  removeCheckpoints,
  restoreCheckpoint,
  writeCheckpoint,
} from "./checkpoint.ts";
import { evaluate, type Evaluation } from "../inference/evaluate.ts";
import { holdsRun, TrainingLog } from "./log.ts";
import { type ResolvedOptions, resolveOptions, type TrainerOptions } from "./options.ts";
import { saveNetwork, type SaveOptions } from "../inference/save_model.ts";
import { firstBatches, initFromGradients } from "./gradient_init.ts";
import { recordMicroStep, recordUpdate } from "./step_programs.ts";

/** What one step did, as `Trainer.run` gives it and the log records it. */
export interface TrainingMetrics extends Partial<UpdateMetrics> {
  /** Optimizer steps done, this one included. */
  step: number;
  /** Mean over the step's targets, in nats. */
  loss: number;
  /** The learning rate that the schedule gave this step. */
  learningRate: number;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** Tokens trained on since the beginning, padding not counted. */
  tokens: number;
  /** Times the data was read completely. */
  epoch: number;
  /** Since the last read-back of metrics. */
  tokensPerSecond: number;
  /** Milliseconds that this step waited for its data. */
  waitMs: number;
  /** Held-out loss, at steps with an evaluation. */
  evalLoss?: number;
  /** What was wrong with the rows read so far; where metrics are read. */
  warnings?: string[];
}

/** What the host knows of a step before its metrics come back. */
interface PendingStep {
  tokens: number;
  epoch: number;
  waitMs: number;
}

/**
 * Trains a model.
 *
 * @example
 * ```ts
 * import { Dataset, falqon, Model, requestDevice, Trainer } from "@falqon/webgpu";
 *
 * using device = await requestDevice();
 * using model = await Model.load("./model", { device });
 * const data = Dataset.from("./train.jsonl");
 * using trainer = await Trainer.create({ model, data, method: falqon({ rank: 16 }), steps: 300 });
 * for await (const { step, loss } of trainer.run()) console.log(step, loss);
 * await trainer.save("./out");
 * ```
 */
export class Trainer implements Disposable {
  /** The model that is trained. */
  readonly model: Model;
  /** The options, defaults filled in. */
  readonly options: Readonly<ResolvedOptions>;
  /** Steps the run will have; null where the data decides. */
  readonly totalSteps: number | null;
  readonly #network: Network;
  readonly #source: TrainerOptions;
  readonly #state: StepState;
  #microStep: Program;
  /** The generation of the network that {@linkcode #microStep} was recorded for. */
  #generation: number;
  readonly #update: Program;
  readonly #loader: Loader;
  readonly #learningRate: (step: number) => number;
  #log: TrainingLog | null = null;
  #step = 0;
  #tokens = 0;
  #position: LoaderPosition | null = null;
  #pending: PendingStep[] = [];
  /** When metrics were read last, and the tokens by then. */
  #flushedAt = 0;
  #flushedTokens = 0;
  #running = false;

  private constructor(parts: {
    source: TrainerOptions;
    options: ResolvedOptions;
    network: Network;
    state: StepState;
    microStep: Program;
    update: Program;
    loader: Loader;
    totalSteps: number | null;
  }) {
    this.#source = parts.source;
    this.model = parts.source.model;
    this.options = parts.options;
    this.#network = parts.network;
    this.#state = parts.state;
    this.#microStep = parts.microStep;
    this.#generation = parts.network.generation;
    this.#update = parts.update;
    this.#loader = parts.loader;
    this.totalSteps = parts.totalSteps;
    const { schedule, warmupSteps, learningRate } = parts.options;
    // Only the constant schedule goes without the number of steps, and it does not look at it.
    const totalSteps = parts.totalSteps ?? 0;
    const factor = learningRateSchedule({ schedule, warmupSteps, totalSteps });
    this.#learningRate = (step) => learningRate * factor(step);
  }

  /**
   * Puts the model on the GPU under the method and records the programs of a step.
   *
   * @throws {OptionError} for options out of range, or an `outputDir` that is in use.
   * @throws {DeviceError} if the GPU is too small.
   * @throws {FileError} for a damaged model, data file or checkpoint.
   */
  static async create(source: TrainerOptions): Promise<Trainer> {
    const options = resolveOptions(source);
    const { model, method, outputDir, resumeFrom } = source;
    const fresh = outputDir !== undefined && resumeFrom === undefined;
    if (fresh && !source.overwrite) await expectUnused(outputDir);
    const checkpoint = resumeFrom === undefined ? null : await findCheckpoint(resumeFrom);
    if (checkpoint) expectMethod(checkpoint.state, method.name, checkpoint.path);

    const random = new Random(options.seed);
    const network = await model.adapt(method, {
      random: () => random.uniform(),
      gradients: true,
      moments: true,
      restoring: checkpoint !== null,
    });
    if (checkpoint) await restoreCheckpoint(checkpoint.path, network);
    const rows = options.batchSize * options.sequenceLength;
    const { gradientCheckpointing: checkpointing } = options;
    network.reserve({ tokens: rows, training: true, checkpointing });
    const state = new StepState(model.device, options);
    const loader = await openTrainingLoader(source, options);
    if (network.layers.gradientInit && !checkpoint) {
      await initFromGradients(network, await firstBatches(loader, rows), rows, options.seed);
    }
    const totalSteps = await countSteps(source, options);
    const trainer = new Trainer({
      source,
      options,
      network,
      state,
      loader,
      totalSteps,
      microStep: await recordMicroStep(network, rows, state),
      update: await recordUpdate(network, options, state),
    });
    await model.device.finish();
    if (checkpoint) trainer.#resume(checkpoint.state);
    return trainer;
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.#step;
  }

  /** Counters of the data read so far. */
  get dataStatistics(): LoaderStatistics {
    return this.#loader.statistics;
  }

  /**
   * Trains to the end, giving the metrics of every step. They come in groups of `logEvery` steps, since reading
   * from the GPU costs as much as a small step. Leaving the loop pauses the run; calling `run` again goes on.
   *
   * @param options `signal` ends the run after the step at work, as if it were the last.
   * @throws {TrainingError} if loss or gradients are not finite; the parameters are then those of the step before.
   * @throws {DataError} for a bad row, once the steps before it are logged and, with `saveEvery`, checkpointed.
   * @throws {FileError} if the log or a checkpoint cannot be written.
   */
  async *run(options: { signal?: AbortSignal } = {}): AsyncGenerator<TrainingMetrics, void, void> {
    if (this.#running) throw new TypeError("This trainer is running already");
    this.#running = true;
    const batches = this.#loader.batches(this.#position ?? undefined);
    this.#startClock();
    let failure: unknown = null;
    try {
      while (this.totalSteps === null || this.#step < this.totalSteps) {
        if (options.signal?.aborted) break;
        const group = await this.#nextGroup(batches).catch((error) => {
          failure = error;
          return null;
        });
        if (group === null) break;
        await this.#openLog();
        await this.#recordAgain();
        this.#runStep(group);
        const { logEvery, evalEvery, saveEvery } = this.options;
        const due = (every: number) => every > 0 && this.#step % every === 0;
        if (due(logEvery) || due(evalEvery) || due(saveEvery)) yield* this.#flush(due(evalEvery));
        if (due(saveEvery)) {
          await this.checkpoint();
          this.#startClock();
        }
      }
      yield* this.#flush(false);
      const { saveEvery } = this.options;
      if (saveEvery > 0 && this.#step % saveEvery !== 0) await this.checkpoint();
      if (failure !== null) throw failure;
    } finally {
      await batches.return();
      this.#running = false;
    }
  }

  /** Computes the held-out loss of the model as it is now. */
  evaluate(data: TrainerOptions["data"]): Promise<Evaluation> {
    return evaluate(this.model, data, this.options);
  }

  /**
   * Writes the trained model (FALQON: FP8 weights; full: F32) or, for LoRA, the PEFT adapter.
   *
   * @throws {OptionError} if the folder holds a model and `overwrite` is not given.
   * @throws {FileError} if something cannot be written; nothing half-written is left.
   */
  save(folder: string, options: SaveOptions = {}): Promise<void> {
    return saveNetwork(this.#network, this.model.folder, folder, options);
  }

  /**
   * Writes `checkpoint-<step>` into `outputDir`, from which `resumeFrom` goes on bit for bit.
   *
   * @throws {OptionError} without an `outputDir`.
   * @throws {FileError} if it cannot be written; older checkpoints are untouched.
   */
  async checkpoint(): Promise<void> {
    const { outputDir } = this.#source;
    if (outputDir === undefined) {
      throw new OptionError("Cannot save a checkpoint as there is no outputDir: give one");
    }
    await writeCheckpoint(outputDir, this.#network, {
      step: this.#step,
      tokens: this.#tokens,
      position: this.#position,
      method: this.#network.method.name,
      options: { ...this.options },
    }, this.options.keepCheckpoints);
  }

  /** Ends the data worker and frees the programs. The model stays on the GPU as trained. */
  [Symbol.dispose](): void {
    this.#loader.close();
    this.#log?.[Symbol.dispose]();
    this.#microStep[Symbol.dispose]();
    this.#update[Symbol.dispose]();
    this.#state[Symbol.dispose]();
  }

  /** Only when there is a first batch: bad data then leaves no folder that looks like a run. */
  async #openLog(): Promise<void> {
    const { outputDir, resumeFrom, overwrite } = this.#source;
    if (outputDir === undefined || this.#log) return;
    if (overwrite && resumeFrom === undefined) await removeCheckpoints(outputDir);
    this.#log = await TrainingLog.open(outputDir, this.#step);
  }

  #resume({ step, tokens, position }: CheckpointState): void {
    this.#step = step;
    this.#tokens = tokens;
    this.#position = position;
  }

  /** The micro-batches of the next step; null at the end of the data. */
  async #nextGroup(batches: AsyncGenerator<Batch>): Promise<Batch[] | null> {
    const group: Batch[] = [];
    while (group.length < this.options.gradAccumSteps) {
      const { value, done } = await batches.next();
      if (done) break;
      group.push(value);
    }
    return group.length > 0 ? group : null;
  }

  /** A longer sequence, seen by the model between steps, moves the network's memory. */
  async #recordAgain(): Promise<void> {
    const network = this.#network;
    if (network.generation === this.#generation) return;
    this.#microStep[Symbol.dispose]();
    const rows = this.options.batchSize * this.options.sequenceLength;
    this.#microStep = await recordMicroStep(network, rows, this.#state);
    this.#generation = network.generation;
  }

  #runStep(group: Batch[]): void {
    this.#state.begin({
      step: this.#step + 1,
      learningRate: this.#learningRate(this.#step),
      targetCount: group.reduce((sum, { targetCount }) => sum + targetCount, 0),
    });
    for (const batch of group) {
      writeTokens(this.model.device, this.#network.tokens, batch);
      this.#microStep.run();
    }
    this.#update.run();
    this.#step++;
    this.#tokens += group.reduce((sum, { tokenCount }) => sum + tokenCount, 0);
    this.#position = group.at(-1)!.position;
    this.#pending.push({
      tokens: this.#tokens,
      epoch: this.#position.epoch,
      waitMs: group.reduce((sum, { waitMs }) => sum + waitMs, 0),
    });
  }

  /** Reads the metrics of the steps since the last read-back and logs them. */
  async *#flush(evaluating: boolean): AsyncGenerator<TrainingMetrics, void, void> {
    if (this.#pending.length === 0) return;
    const taken = await this.#state.takeMetrics();
    const seconds = (performance.now() - this.#flushedAt) / 1000;
    const tokensPerSecond = (this.#tokens - this.#flushedTokens) / seconds;
    const entries = taken.map((metrics, i): TrainingMetrics => ({
      step: metrics.step,
      loss: metrics.lossSum / metrics.targetCount,
      learningRate: metrics.learningRate,
      gradNorm: metrics.gradNorm,
      ...this.#pending[i],
      tokensPerSecond,
    }));
    this.#pending = [];
    const bad = taken.find(({ finite, lossSum }) => !finite || !Number.isFinite(lossSum));
    const good = bad ? entries.filter(({ step }) => step < bad.step) : entries;
    const last = good.at(-1);
    if (last && !bad) {
      if (evaluating) last.evalLoss = (await this.evaluate(this.#source.evalData!)).loss;
      const warnings = dataWarnings(this.dataStatistics);
      if (warnings.length > 0) last.warnings = warnings;
      if (this.options.countUpdates) {
        Object.assign(last, await this.#network.layers.updateStats?.read());
      }
    }
    await this.#log?.append(good);
    yield* good;
    if (bad) throw notFinite(bad);
    this.#startClock();
  }

  #startClock(): void {
    this.#flushedAt = performance.now();
    this.#flushedTokens = this.#tokens;
  }
}

function notFinite({ step, lossSum, gradNorm: norm, learningRate }: StepMetrics): TrainingError {
  return new TrainingError(
    `Cannot go on after step ${step} as its loss sum is ${lossSum} and its gradient norm ${norm}: ` +
      `reduce the learning rate (${learningRate}) or maxGradNorm, and resume from the last checkpoint`,
  );
}

/** A run's folder must not hold another run. */
async function expectUnused(folder: string): Promise<void> {
  if (!await holdsRun(folder)) return;
  throw new OptionError(
    `Cannot train into "${folder}" as it holds another run: choose another outputDir, remove it, ` +
      "or resume from it",
  );
}

function expectMethod({ method }: CheckpointState, wanted: string, path: string): void {
  if (method === wanted) return;
  throw new OptionError(
    `Cannot resume from "${path}" by ${wanted} as it was trained by ${method}: use that method`,
  );
}

function openTrainingLoader(source: TrainerOptions, options: ResolvedOptions): Promise<Loader> {
  const { model, data } = source;
  return openLoader({
    ...options,
    epochs: options.epochs ?? undefined,
    dataset: data,
    tokenizerFolder: model.folder,
    vocabSize: model.config.vocabSize,
  });
}

/** Steps of the run: as told, or for a schedule that must know them, counted by reading the data ahead. */
async function countSteps(
  source: TrainerOptions,
  options: ResolvedOptions,
): Promise<number | null> {
  if (options.steps !== null || options.schedule === "constant") return options.steps;
  const loader = await openTrainingLoader(source, options);
  try {
    let batches = 0;
    for await (const _ of loader.batches()) batches++;
    return Math.ceil(batches / options.gradAccumSteps);
  } finally {
    loader.close();
  }
}
