/**
 * What a run keeps in its folder: the log and the checkpoints. A run without a folder keeps nothing.
 *
 * @module
 */

import { basename } from "node:path";
import { OptionError } from "../errors.ts";
import {
  checkpointFolder,
  type CheckpointState,
  findCheckpoint,
  removeCheckpoints,
  restoreCheckpoint,
  writeCheckpoint,
} from "./checkpoint.ts";
import type { Evaluations } from "./evaluations.ts";
import { fingerprint } from "./fingerprint.ts";
import { TrainingLog } from "./log.ts";
import type { HeldOutLoss } from "./metrics.ts";
import { SaveSchedule } from "./save_interval.ts";
import type { Setup } from "./setup.ts";

/** Where a run stands. */
export type Standing = Pick<CheckpointState, "step" | "tokens" | "position">;

/** The files of a run. */
export class RunFiles implements Disposable {
  readonly #setup: Setup;
  readonly #evaluations: Evaluations;
  /** When checkpoints are due. */
  readonly schedule: SaveSchedule;
  /** The step of the newest checkpoint that was written or read; 0 for none. */
  savedStep: number;
  #log: TrainingLog | null = null;

  constructor(setup: Setup, evaluations: Evaluations) {
    this.#setup = setup;
    this.#evaluations = evaluations;
    const { step = 0, position } = setup.checkpoint ?? {};
    this.savedStep = step;
    this.schedule = new SaveSchedule(setup.options.saveEvery, position?.epoch ?? 0);
  }

  /**
   * Opens the log for the steps after `step`. Later lines and checkpoints belong to a run that is
   * replaced, or to steps that were given up: they go.
   *
   * Call it when there is a first batch: bad data then leaves no folder that looks like a run.
   */
  async open(step: number): Promise<void> {
    const { outputDir } = this.#setup.source;
    if (outputDir === undefined || this.#log) return;
    await removeCheckpoints(outputDir, step);
    this.#log = await TrainingLog.open(outputDir, step);
    const before = this.#evaluations.at(0);
    if (step === 0 && before) await this.appendLoss(before);
  }

  /** Appends a held-out loss in a line of its own. */
  async appendLoss({ step, loss }: HeldOutLoss): Promise<void> {
    await this.append([{ step, evalLoss: loss }]);
  }

  /** Appends lines to the log, if it is open. */
  async append(entries: readonly object[]): Promise<void> {
    await this.#log?.append(entries);
  }

  /** The name of the newest checkpoint that was written or read; null for none. */
  get newest(): string | null {
    return this.savedStep === 0 ? null : basename(checkpointFolder("", this.savedStep));
  }

  /** Whether a checkpoint is being written. */
  isSaving = false;

  /** Writes a checkpoint, and removes those that are not to stay. */
  async save(standing: Standing): Promise<void> {
    const { source, network, options, fingerprints } = this.#setup;
    if (source.outputDir === undefined) {
      throw new OptionError("Cannot save a checkpoint as there is no outputDir: give one");
    }
    const { list, best } = this.#evaluations;
    const state = {
      ...standing,
      method: network.method.name,
      options: { ...options },
      evaluations: [...list],
      fingerprints: fingerprints ?? await fingerprint(source),
    };
    const retention = { newest: options.keepCheckpoints, best: best?.step ?? null };
    this.isSaving = true;
    try {
      await writeCheckpoint(source.outputDir, network, state, retention);
    } finally {
      this.isSaving = false;
    }
    this.savedStep = standing.step;
    this.schedule.saved(standing.position?.epoch ?? 0);
  }

  /** Fills the network from the checkpoint of a step, and closes the log, to go on from there. */
  async restore(step: number): Promise<Standing> {
    const { source: { outputDir = "" }, network } = this.#setup;
    const { path, state } = await findCheckpoint(checkpointFolder(outputDir, step));
    await restoreCheckpoint(path, network);
    this[Symbol.dispose]();
    this.savedStep = step;
    return state;
  }

  /** Closes the log. */
  [Symbol.dispose](): void {
    this.#log?.[Symbol.dispose]();
    this.#log = null;
  }
}
