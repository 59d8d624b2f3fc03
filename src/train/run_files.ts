/**
 * What a run keeps in its folder: the log and the checkpoints. A run without a folder keeps nothing.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { type KeptCheckpoint, OptionError } from "../errors.ts";
import { noticeOnConsole } from "../printable.ts";
import { makeFolder, writeFileAtomically } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import { readBounded } from "../io/text_file.ts";
import {
  checkpointFolder,
  findCheckpoint,
  listCheckpoints,
  removeCheckpoints,
  removeSurplus,
  restoreCheckpoint,
  type Retention,
  runFolderOf,
  writeCheckpoint,
} from "./checkpoint.ts";
import type { CheckpointState } from "./checkpoint_state.ts";
import type { Evaluations } from "./evaluations.ts";
import { fingerprint } from "./fingerprint.ts";
import { setAside } from "./folder_order.ts";
import { LOG_FILE, TrainingLog } from "./log.ts";
import { madeBy } from "./made_by.ts";
import { settingsOf } from "./method_settings.ts";
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
  /** The newest checkpoint that was written or read; null for none. */
  kept: KeptCheckpoint | null;
  #log: TrainingLog | null = null;

  constructor(setup: Setup, evaluations: Evaluations) {
    this.#setup = setup;
    this.#evaluations = evaluations;
    const { checkpoint, resumedFrom: folder } = setup;
    this.kept = folder === null ? null : { step: checkpoint!.step, folder };
    this.schedule = new SaveSchedule(
      setup.options.saveEvery,
      checkpoint?.position?.epoch ?? 0,
    );
  }

  /** The step of that checkpoint; 0 for none. */
  get savedStep(): number {
    return this.kept?.step ?? 0;
  }

  /**
   * Opens the log for the steps after `step`. A new run replaces what is there, if it may; of one that goes
   * on, later lines are of steps that are done again, and later checkpoints are set aside.
   *
   * Call it when there is a first batch: bad data then leaves no folder that looks like a run.
   */
  async open(step: number): Promise<void> {
    const { source: { outputDir, onNotice = noticeOnConsole }, lock, checkpoint } = this.#setup;
    if (outputDir === undefined || this.#log) return;
    lock?.expect();
    if (checkpoint === null && this.savedStep === 0) {
      await removeCheckpoints(outputDir);
      this.#log = await TrainingLog.open(outputDir, null);
    } else {
      const notice = await setAside(outputDir, step);
      if (notice !== null) onNotice(notice);
      await this.#takeLog(outputDir);
      this.#log = await TrainingLog.open(outputDir, step, onNotice);
    }
    const before = this.#evaluations.at(0);
    if (step === 0 && before) await this.appendLoss(before);
  }

  /** Takes the log of a run along that goes on in another folder. */
  async #takeLog(outputDir: string): Promise<void> {
    const { resumeFrom } = this.#setup.source;
    if (resumeFrom === undefined) return;
    const folder = await runFolderOf(resumeFrom);
    const [from, to] = [join(folder, LOG_FILE), join(outputDir, LOG_FILE)];
    if (resolve(folder) === resolve(outputDir) || await exists(to) || !await exists(from)) return;
    await makeFolder(outputDir);
    await writeFileAtomically(to, await readBounded(from, Infinity));
  }

  /** Appends a held-out loss in a line of its own. */
  async appendLoss({ step, loss }: HeldOutLoss): Promise<void> {
    await this.append([{ step, evalLoss: loss }]);
  }

  /** Appends lines to the log, if it is open. */
  async append(entries: readonly object[]): Promise<void> {
    if (this.#log) this.#setup.lock?.expect();
    await this.#log?.append(entries);
  }

  /** Whether a checkpoint is being written. */
  isSaving = false;

  /** Whether the run is at work: no other trainer of this process may then take its folder. */
  set isBusy(value: boolean) {
    const { lock } = this.#setup;
    if (lock) lock.busy = value;
  }

  /** Writes a checkpoint, and removes those that are not to stay. */
  async save(standing: Standing): Promise<void> {
    const { source, network, options, fingerprints, date } = this.#setup;
    if (source.outputDir === undefined) {
      throw new OptionError("Cannot save a checkpoint as there is no outputDir: give one");
    }
    await this.open(standing.step);
    this.#setup.lock?.expect();
    const { list } = this.#evaluations;
    const state = {
      ...standing,
      method: network.method.name,
      settings: settingsOf(network.method),
      options: { ...options },
      evaluations: [...list],
      ...date !== null && { date },
      fingerprints: fingerprints ?? await fingerprint(source),
      madeBy: madeBy(network.device),
    };
    this.isSaving = true;
    try {
      await this.#log?.sync(); // a checkpoint comes after the log of its steps
      await writeCheckpoint(source.outputDir, network, state, this.#retention);
    } finally {
      this.isSaving = false;
    }
    const { step } = standing;
    this.kept = { step, folder: checkpointFolder(source.outputDir, step) };
    this.schedule.saved(standing.position?.epoch ?? 0);
  }

  /** Leaves a checkpoint of where the run ends, and none that is not to stay. */
  async finish(standing: Standing): Promise<void> {
    const { source: { outputDir }, lock } = this.#setup;
    if (this.savedStep !== standing.step) return await this.save(standing);
    if (outputDir === undefined || !lock?.holds) return;
    // A run killed before it did this leaves one too many. Later ones are of a run that this is not.
    const isNewest = (await listCheckpoints(outputDir)).at(-1) === standing.step;
    if (isNewest) await removeSurplus(outputDir, this.#retention);
  }

  get #retention(): Retention {
    const { keepCheckpoints } = this.#setup.options;
    return { newest: keepCheckpoints, best: this.#evaluations.best?.step ?? null };
  }

  /** Fills the network from the checkpoint of a step, and closes the log, to go on from there. */
  async restore(step: number): Promise<Standing> {
    const { source: { outputDir = "" }, network } = this.#setup;
    const checkpoint = await findCheckpoint(checkpointFolder(outputDir, step));
    await restoreCheckpoint(checkpoint, network);
    this.#closeLog();
    this.kept = { step, folder: checkpoint.path };
    return checkpoint.state;
  }

  /** Makes the log durable. */
  async sync(): Promise<void> {
    await this.#log?.sync();
  }

  /** Closes the log, and gives the folder back. */
  [Symbol.dispose](): void {
    this.#closeLog();
    this.#setup.lock?.[Symbol.dispose]();
  }

  #closeLog(): void {
    this.#log?.[Symbol.dispose]();
    this.#log = null;
  }
}
