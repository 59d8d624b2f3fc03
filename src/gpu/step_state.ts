/**
 * The numbers of an optimizer step that change from step to step, kept in buffers so that the
 * recorded program need not change, and the ring of metrics that saves a read-back per step.
 *
 * A step: {@linkcode StepState.begin}, then the programs of the micro-batches, then the program
 * that holds `gradNorm`, `adamW` and `recordMetrics`. {@linkcode StepState.takeMetrics} may follow
 * many steps later.
 *
 * @module
 */

import type { BufferView } from "./buffers.ts";
import type { Device } from "./device.ts";

/** Steps that the ring of metrics holds: it must be read at least that often. */
export const METRICS_CAPACITY = 1024;

/** Index of the sum of losses when {@linkcode StepState.results} is seen as f32 elements. */
export const LOSS_SUM_INDEX = 0;

/**
 * Bytes of `StepInputs` and `StepResults` in wgsl/shared/step_state.wgsl, and of `Entry` in
 * wgsl/optimizer/metrics.wgsl.
 */
const INPUTS_BYTES = 24;
const RESULTS_BYTES = 16;
const ENTRY_BYTES = 28;

/** Decay rates of the moments of AdamW, named as in PyTorch. */
export interface Betas {
  /** Of the mean of gradients. */
  beta1: number;
  /** Of the mean of squared gradients. */
  beta2: number;
}

/** The inputs of a step, as {@linkcode StepState.begin} sets them. */
export interface StepInputs {
  /** Number of the step, counted from 1. */
  step: number;
  /** Of this step, after the schedule. */
  learningRate: number;
  /** Targets in all micro-batches of the step; the loss is a mean over them. */
  targetCount: number;
}

/** What a step did. */
export interface StepMetrics extends StepInputs {
  /** Sum of the losses of all targets, in nats. */
  lossSum: number;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** The factor that clipping applied. */
  clip: number;
  /**
   * False where the gradient held NaN or infinity: the step left parameters and moments as they
   * were.
   */
  finite: boolean;
}

/** The buffers behind a training step's changing numbers. */
export class StepState implements Disposable {
  /** Decay rates that the bias corrections belong to. */
  readonly betas: Readonly<Betas>;
  /** `StepInputs` of wgsl/shared/step_state.wgsl. */
  readonly inputs: BufferView;
  /**
   * `StepResults` of wgsl/shared/step_state.wgsl; the program clears it before the first loss of a
   * step.
   */
  readonly results: BufferView;
  /** The entries of the last {@linkcode METRICS_CAPACITY} steps. */
  readonly ring: BufferView;
  #device: Device;
  /** The last step begun, and the last whose metrics were taken; null before the first. */
  #begun: number | null = null;
  #taken = 0;

  /** Allocates the buffers on `device`. */
  constructor(device: Device, betas: Betas) {
    this.#device = device;
    this.betas = betas;
    const allocate = (bytes: number, label: string) => device.allocate(bytes, label, "model");
    [this.inputs, this.results, this.ring] = device.allOrNothing(() => [
      allocate(INPUTS_BYTES, "step inputs"),
      allocate(RESULTS_BYTES, "step results"),
      allocate(ENTRY_BYTES * METRICS_CAPACITY, "metrics of the last steps"),
    ]);
  }

  /**
   * Sets the numbers of the step that is submitted next. The first step may have any number, as
   * after a resumed checkpoint; then they count up by one.
   *
   * @throws {RangeError} for a step out of order, or one that would overwrite metrics not yet
   * taken.
   */
  begin({ step, learningRate, targetCount }: StepInputs): void {
    const expected = this.#begun === null ? step : this.#begun + 1;
    if (step !== expected || !Number.isInteger(step) || step < 1) {
      throw new RangeError(`Cannot start step ${step} as steps count up from 1 one by one`);
    }
    if (this.#begun === null) this.#taken = step - 1;
    if (step - this.#taken > METRICS_CAPACITY) {
      throw new RangeError(
        `Cannot start step ${step} as the metrics since step ${this.#taken + 1} were not taken`,
      );
    }
    this.#begun = step;
    const { beta1, beta2 } = this.betas;
    const data = new DataView(new ArrayBuffer(INPUTS_BYTES));
    data.setUint32(0, step, true);
    data.setUint32(4, targetCount, true);
    data.setFloat32(8, targetCount > 0 ? 1 / targetCount : 0, true);
    data.setFloat32(12, learningRate, true);
    data.setFloat32(16, learningRate / (1 - beta1 ** step), true);
    data.setFloat32(20, 1 / Math.sqrt(1 - beta2 ** step), true);
    this.#device.write(this.inputs, data);
  }

  /** Lets the next step have any number again. The metrics of those before are given up. */
  restart(): void {
    this.#begun = null;
  }

  /**
   * Reads the metrics of the steps that ran since the last call, oldest first. Costs one read-back.
   *
   * @throws {DeviceError} if any earlier GPU work failed.
   */
  async takeMetrics(): Promise<StepMetrics[]> {
    const entries: StepMetrics[] = [];
    if (this.#begun === null || this.#begun === this.#taken) return entries;
    const data = new DataView(await this.#device.read(this.ring));
    for (let step = this.#taken + 1; step <= this.#begun; step++) {
      const at = (step - 1) % METRICS_CAPACITY * ENTRY_BYTES;
      if (data.getUint32(at, true) !== step) break; // begun, but its program is not submitted yet
      entries.push({
        step,
        targetCount: data.getUint32(at + 4, true),
        finite: data.getUint32(at + 8, true) !== 0,
        lossSum: data.getFloat32(at + 12, true),
        gradNorm: data.getFloat32(at + 16, true),
        clip: data.getFloat32(at + 20, true),
        learningRate: data.getFloat32(at + 24, true),
      });
      this.#taken = step;
    }
    return entries;
  }

  /** Frees the buffers. */
  [Symbol.dispose](): void {
    this.#device.free(this.inputs, this.results, this.ring);
  }
}
