/**
 * The training loop.
 *
 * @module
 */

import { checkOptions } from "../checks.ts";
import { Dataset } from "../data/dataset.ts";
import { dataWarnings } from "../data/statistics.ts";
import type { LoaderStatistics } from "../data/types.ts";
import { type KeptCheckpoint, ModelError, OptionError, TrainingError } from "../errors.ts";
import { evaluate, type Evaluation } from "../inference/evaluate.ts";
import type { Model } from "../inference/model.ts";
import {
  checkSaving,
  saveNetwork,
  type SaveOptions,
  type SaveResult,
} from "../inference/save_model.ts";
import { Claim } from "./claim.ts";
import { Evaluations } from "./evaluations.ts";
import { tellingKept, withKept } from "./kept.ts";
import type { HeldOutLoss, TrainingMetrics } from "./metrics.ts";
import {
  ABORTABLE,
  type Abortable,
  evaluationShape,
  type ResolvedOptions,
  type TrainerOptions,
} from "./options.ts";
import { RunFiles } from "./run_files.ts";
import { Stepper } from "./stepper.ts";
import { type Setup, setUp } from "./setup.ts";

/**
 * Trains a model.
 *
 * A model has one network on the GPU, and the last trainer or `model.use` has it: the methods of an
 * earlier trainer of the same model throw a {@linkcode TrainingError} from then on.
 *
 * @example
 * ```ts
 * import { Dataset, falqon, Model, requestDevice, Trainer } from "@falqon/webgpu";
 *
 * await using device = await requestDevice();
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
  readonly #setup: Setup;
  readonly #claim: Claim;
  readonly #evaluations: Evaluations;
  readonly #files: RunFiles;
  readonly #stepper: Stepper;
  #running = false;
  #stopped = new AbortController();

  private constructor(setup: Setup) {
    this.#setup = setup;
    this.model = setup.source.model;
    this.#claim = new Claim(this.model, setup.network);
    this.options = setup.options;
    this.totalSteps = setup.totalSteps;
    this.#evaluations = new Evaluations(setup);
    this.#files = new RunFiles(setup, this.#evaluations);
    this.#stepper = new Stepper(setup, this.#files, this.#claim);
  }

  /**
   * Puts the model on the GPU under the method and records the programs of a step. When that fails,
   * what was made is freed, and the model is as one that was never used, or untouched where the data
   * is at fault.
   *
   * @param abortable `signal` ends the work between weights, batches and programs; it does not
   * govern the run.
   * @throws {OptionError} for unknown options and values out of range, a method that does not
   * train, or an `outputDir` that is in use.
   * @throws {DeviceError} if the GPU is too small.
   * @throws {FileError} for a damaged model, data file or checkpoint.
   */
  static async create(options: TrainerOptions, abortable: Abortable = {}): Promise<Trainer> {
    checkOptions("Trainer.create", abortable, ABORTABLE);
    return new Trainer(await setUp(options, abortable.signal));
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.#stepper.step;
  }

  /** The held-out losses of `evalData`, in the order of steps. */
  get evaluations(): readonly HeldOutLoss[] {
    return this.#evaluations.list;
  }

  /** What a run is busy with, for those who show it. */
  get activity(): "training" | "evaluating" | "saving" {
    if (this.#evaluations.isComputing) return "evaluating";
    return this.#files.isSaving ? "saving" : "training";
  }

  /** The step with the lowest held-out loss; null if none was evaluated. */
  get best(): HeldOutLoss | null {
    return this.#evaluations.best;
  }

  /** Whether `earlyStoppingPatience` ended the run. */
  get stoppedEarly(): boolean {
    const { earlyStoppingPatience: patience } = this.options;
    return patience > 0 && this.#evaluations.sinceBest >= patience;
  }

  /** The newest checkpoint that was written or gone on from; null for none. */
  get kept(): KeptCheckpoint | null {
    return this.#files.kept;
  }

  /** Counters of the data read so far. */
  get dataStatistics(): LoaderStatistics {
    return this.#setup.loader.statistics;
  }

  /**
   * Trains to the end, giving the metrics of every step. They come in groups of `logEvery` steps,
   * since reading from the GPU costs as much as a small step. Leaving the loop pauses the run;
   * calling `run` again continues. With `evalData`, the model is evaluated before the first step and
   * at the end as well, which the log and {@linkcode Trainer.evaluations} have.
   *
   * @param abortable `signal` ends the run after the step at work: the metrics of all steps are
   * given and logged and, with `saveEvery`, a checkpoint is written, then the signal's reason is
   * thrown. {@linkcode Trainer.stop} ends it without an error.
   * @throws {TrainingError} if loss or gradients are not finite, with the parameters those of the
   * step before; if losses stay far above those of the beginning, so that the model is lost; or if the
   * trainer is running, was disposed of, or its model was put under another
   * trainer or method.
   * @throws {ModelError} if the loss is not finite before anything is trained, or the held-out loss.
   * @throws {DataError} for a bad row, once the steps before it are logged and saved.
   * @throws {FileError} if the log or a checkpoint cannot be written.
   */
  async *run(abortable: Abortable = {}): AsyncGenerator<TrainingMetrics, void, void> {
    checkOptions("Trainer.run", abortable, ABORTABLE);
    const { signal } = abortable;
    this.#claim.expect();
    this.#expectIdle();
    this.#running = this.#files.isBusy = true;
    this.#stopped = new AbortController();
    const { logEvery, evalEvery } = this.options;
    const { schedule } = this.#files;
    const batches = this.#setup.loader.batches(this.#stepper.position ?? undefined);
    let failure: { error: unknown } | null = null;
    try {
      if (!this.#isDone && this.evaluations.length === 0) await this.#logHeldOut(signal);
      this.#stepper.startClock();
      schedule.begin();
      while (!this.#isDone) {
        try {
          if (!await this.#stepper.next(batches, this.#stopped.signal, signal)) break;
        } catch (error) {
          failure = { error };
          break;
        }
        const due = (every: number) => every > 0 && this.step % every === 0;
        const saves = schedule.isDue(this.step, this.#stepper.position!.epoch);
        if (due(logEvery) || due(evalEvery) || saves) yield* this.#flush(due(evalEvery));
        const isBest = due(evalEvery) && schedule.isOn && this.best?.step === this.step;
        const isSaved = isBest || (saves && !this.#stepper.isHigh);
        if (isSaved && this.#claim.holds) await this.checkpoint();
      }
      yield* this.#flush(false, failure === null && !this.#stopped.signal.aborted);
      if (this.#claim.holds && this.step > 0) {
        try {
          if (failure === null && !this.#stopped.signal.aborted) await this.#logHeldOut(signal);
        } catch (error) {
          if (error instanceof ModelError) throw error; // such a model is not to be kept
          failure = { error };
        }
        if (schedule.isOn) await this.#files.finish(this.#stepper.standing);
      }
      await this.#files.sync();
      if (failure !== null) throw failure.error;
    } catch (error) {
      throw withKept(error, this);
    } finally {
      await batches.return();
      this.#running = this.#files.isBusy = false;
    }
  }

  /**
   * Trains to the end, for those who need no progress; the log in `outputDir` has every step.
   *
   * @param abortable As of {@linkcode Trainer.run}.
   * @returns The metrics of the last step; null if there was nothing left to do.
   * @throws What {@linkcode Trainer.run} throws.
   */
  async train(abortable: Abortable = {}): Promise<TrainingMetrics | null> {
    let last: TrainingMetrics | null = null;
    for await (const metrics of this.run(abortable)) last = metrics;
    return last;
  }

  /**
   * Ends the run quietly after the step at work, as if that were the last: metrics are given and
   * logged and, with `saveEvery`, a checkpoint is written. An evaluation is cut short. Calling `run`
   * or `train` again continues.
   */
  stop(): void {
    this.#stopped.abort();
  }

  /**
   * Computes the held-out loss of the model as it is now.
   *
   * @param data Default: `evalData`, whose loss {@linkcode Trainer.evaluations} and the log then have.
   * @param abortable `signal` ends it between batches.
   * @throws {TrainingError} if the trainer has no longer the model.
   * @throws {OptionError} if there are no rows to evaluate.
   * @throws {DataError} for malformed rows, or if no row has a target.
   */
  async evaluate(data?: Dataset, abortable: Abortable = {}): Promise<Evaluation> {
    if (data !== undefined) Dataset.expect(data);
    checkOptions("Trainer.evaluate", abortable, ABORTABLE);
    this.#claim.expect();
    const rows = data ?? this.#setup.source.evalData;
    if (!rows) throw new OptionError("Cannot evaluate without rows: give data, or evalData");
    const date = this.#setup.date ?? undefined;
    const shape = { ...evaluationShape(this.options), signal: abortable.signal, date };
    const result = await tellingKept(this, evaluate(this.model, rows, shape));
    if (!data) await this.#files.appendLoss(this.#evaluations.add(this.step, result));
    return result;
  }

  /**
   * Writes the trained model (FALQON: in its format of 8 bits; full: F32) or, for LoRA, the PEFT
   * adapter; with `saveAs`, the trained model in another format.
   *
   * @throws {TrainingError} if the trainer has no longer the model.
   * @throws {OptionError} for an unknown option, or if the folder holds a model and `overwrite` is not
   * given.
   * @throws {FileError} if something cannot be written; nothing half-written is left.
   */
  async save(folder: string, options: SaveOptions = {}): Promise<SaveResult> {
    checkSaving(folder, options);
    this.#claim.expect();
    const { network } = this.#setup;
    return await tellingKept(this, saveNetwork(network, this.model.files, folder, options));
  }

  /**
   * Writes `checkpoint-<step>` into `outputDir`, from which `resumeFrom` continues bit for bit.
   *
   * @throws {TrainingError} if the trainer has no longer the model.
   * @throws {OptionError} without an `outputDir`.
   * @throws {FileError} if it cannot be written; older checkpoints are untouched.
   */
  async checkpoint(): Promise<void> {
    this.#claim.expect();
    await tellingKept(this, this.#files.save(this.#stepper.standing));
    this.#stepper.startClock();
  }

  /**
   * Brings the model back to the step with the lowest held-out loss, from its checkpoint, to save or
   * evaluate that; a later `run` goes on from there.
   *
   * @returns That step, also if the model is there already; null if none was evaluated.
   * @throws {TrainingError} if the trainer is running, or has no longer the model.
   * @throws {FileError} if the checkpoint is missing or damaged.
   */
  async restoreBest(): Promise<HeldOutLoss | null> {
    this.#claim.expect();
    this.#expectIdle();
    const { best } = this;
    if (best === null || best.step === this.step) return best;
    this.#stepper.goTo(await tellingKept(this, this.#files.restore(best.step)));
    return best;
  }

  /** Ends the data worker and frees the programs. The model stays on the GPU as trained. */
  [Symbol.dispose](): void {
    this.#claim.end();
    this.#setup.loader.close();
    this.#files[Symbol.dispose]();
    this.#setup.step[Symbol.dispose]();
  }

  #expectIdle(): void {
    if (!this.#running) return;
    throw new TrainingError("Cannot run this trainer as it is running: wait for it to end");
  }

  get #isDone(): boolean {
    return this.#stopped.signal.aborted || this.stoppedEarly ||
      (this.totalSteps !== null && this.step >= this.totalSteps);
  }

  /** Computes the held-out loss, if it is not known, and logs it in a line of its own. */
  async #logHeldOut(signal?: AbortSignal): Promise<void> {
    const found = await this.#evaluations.compute(this.step, this.#stopped.signal, signal);
    if (found) await this.#files.appendLoss(found);
  }

  /** Reads the metrics of the steps since the last read-back and logs them. */
  async *#flush(evaluating: boolean, ending = false): AsyncGenerator<TrainingMetrics, void, void> {
    const read = await this.#stepper.read(ending);
    const { good } = read;
    let error: unknown = read.error;
    const last = good.at(-1);
    try {
      if (last && !error) await this.#addFindings(last, evaluating);
    } catch (found) {
      error = found; // the steps before are logged all the same
    }
    await this.#files.append(good);
    yield* good;
    if (error) throw error;
    this.#stepper.startClock();
  }

  /** Adds to a step's metrics what is known of the moment after it. */
  async #addFindings(metrics: TrainingMetrics, evaluating: boolean): Promise<void> {
    if (evaluating && this.#claim.holds) {
      const found = await this.#evaluations.compute(this.step, this.#stopped.signal);
      if (found) metrics.evalLoss = found.loss;
    }
    const warnings = dataWarnings(this.dataStatistics);
    if (warnings.length > 0) metrics.warnings = warnings;
    if (this.options.updateStats && this.#claim.holds) {
      Object.assign(metrics, await this.#setup.network.layers.updateStats?.read());
    }
  }
}
