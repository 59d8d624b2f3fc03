/**
 * One optimizer step of a network: forward, loss and backward of some micro-batches, clipping,
 * AdamW and the method's update of the weights. Everything that trains or looks at gradients goes
 * through here, so the order of the work, and what must be recorded again when the network's memory
 * moves, stand in one place.
 *
 * A step is `await begin(…)`, then `accumulate(batch)` for each micro-batch, then `await apply()`.
 * `takeMetrics()` may follow many steps later.
 *
 * @module
 */

import { Program } from "../gpu/program.ts";
import { type Betas, type StepInputs, type StepMetrics, StepState } from "../gpu/step_state.ts";
import { adamW } from "../kernels/optimizer/adamw.ts";
import { gradNorm } from "../kernels/optimizer/grad_norm.ts";
import { recordMetrics } from "../kernels/optimizer/metrics.ts";
import type { Loss } from "./loss.ts";
import type { Network } from "./network.ts";
import { type TokenArrays, writeTokens } from "./token_buffers.ts";

/** AdamW and clipping. */
export interface OptimizerSettings extends Betas {
  /** Gradients with a larger global norm are scaled down to it; 0 switches clipping off. */
  maxGradNorm: number;
  /** Decoupled decay of matrices. */
  weightDecay: number;
  /** AdamW's eps. */
  eps: number;
}

/** Options of {@linkcode TrainingStep.create}. */
export interface TrainingStepOptions {
  /** What is minimised. */
  loss: Loss;
  /**
   * Null for a step that only adds up gradients: the network needs no moments then, and nothing is
   * applied.
   */
  optimizer: OptimizerSettings | null;
  /** Whether blocks keep only their input and compute the rest again. */
  checkpointing: boolean;
  /** Whether the method counts what its updates do. Default false. */
  updateStats?: boolean;
  /**
   * Runs between gradients and update, when the work of all micro-batches is submitted: the flat
   * buffers `network.parameters.gradients` then hold the sum of this process, to be replaced by the
   * sum over all processes before it is clipped (an all-reduce, with `targetCount` of `begin` that
   * of all of them). WebGPU shows a process one GPU, so others are reached through the host, which
   * takes time: the hook may be asynchronous.
   */
  onGradients?: () => void | Promise<void>;
}

/** The decay rates of a step without an optimizer. */
const NO_MOMENTS: Betas = { beta1: 0, beta2: 0 };

/** A recorded optimizer step of one network. */
export class TrainingStep implements Disposable {
  /** The network that it trains. */
  readonly network: Network;
  /** Tokens of a micro-batch. */
  readonly rows: number;
  readonly #options: TrainingStepOptions;
  readonly #state: StepState;
  readonly #update: Program | null;
  #microStep: Program;
  /** The generation of the network that {@linkcode #microStep} was recorded for. */
  #generation: number;

  private constructor(
    network: Network,
    rows: number,
    options: TrainingStepOptions,
    recorded: { state: StepState; microStep: Program; update: Program | null },
  ) {
    this.network = network;
    this.rows = rows;
    this.#options = options;
    this.#state = recorded.state;
    this.#microStep = recorded.microStep;
    this.#update = recorded.update;
    this.#generation = network.generation;
  }

  /**
   * Reserves memory for micro-batches of `rows` tokens and records the programs of a step.
   *
   * @throws {DeviceError} if the GPU is too small.
   */
  static async create(
    network: Network,
    rows: number,
    options: TrainingStepOptions,
  ): Promise<TrainingStep> {
    const { checkpointing, optimizer } = options;
    network.reserve({ tokens: rows, training: true, checkpointing });
    using made = new DisposableStack();
    const state = made.use(new StepState(network.device, optimizer ?? NO_MOMENTS));
    const microStep = made.use(await recordMicroStep(network, rows, state, options.loss));
    const update = made.use(optimizer && await recordUpdate(network, optimizer, state, options));
    made.move();
    return new TrainingStep(network, rows, options, { state, microStep, update });
  }

  /**
   * Forward, loss and backward of a micro-batch, for a look at its kernels; replaced when the
   * network's memory moves.
   */
  get microStep(): Program {
    return this.#microStep;
  }

  /** Clipping, AdamW and the method's update, for a look at its kernels. */
  get update(): Program {
    if (!this.#update) throw new TypeError("This step has no optimizer: it only adds up gradients");
    return this.#update;
  }

  /**
   * Begins a step. Micro-batches must follow without a wait in between, as another use of the
   * network could move its memory: a longer sequence, seen between steps, does, and then the
   * micro-step is recorded again here.
   *
   * @throws {RangeError} for a step out of order, or metrics that were not taken in time.
   */
  async begin(inputs: StepInputs): Promise<void> {
    const { network, rows } = this;
    while (network.generation !== this.#generation) {
      this.#generation = network.generation;
      this.#microStep[Symbol.dispose]();
      this.#microStep = await recordMicroStep(network, rows, this.#state, this.#options.loss);
    }
    this.#state.begin(inputs);
  }

  /** Lets the next step have any number, as when a run goes back to a checkpoint. */
  restart(): void {
    this.#state.restart();
  }

  /**
   * Submits forward, loss and backward of a micro-batch, which add to the gradients. Nothing is
   * waited for.
   */
  accumulate(batch: TokenArrays): void {
    const { device, tokens } = this.network;
    writeTokens(device, tokens, batch);
    this.#options.loss.write?.(batch);
    this.#microStep.run();
  }

  /**
   * Submits the update of the parameters and clears the gradients. Nothing but the hook is waited
   * for.
   */
  async apply(): Promise<void> {
    const { onGradients } = this.#options;
    if (onGradients) await onGradients();
    this.update.run();
  }

  /**
   * Waits for the steps since the last call and gives their metrics, oldest first. Costs one
   * read-back.
   *
   * @throws {DeviceError} if any earlier GPU work failed.
   */
  takeMetrics(): Promise<StepMetrics[]> {
    return this.#state.takeMetrics();
  }

  /** Frees programs and numbers of the step; the network stays. */
  [Symbol.dispose](): void {
    this.#microStep[Symbol.dispose]();
    this.#update?.[Symbol.dispose]();
    this.#state[Symbol.dispose]();
  }
}

/** Records forward, loss and backward of `rows` tokens. */
function recordMicroStep(
  network: Network,
  rows: number,
  state: StepState,
  loss: Loss,
): Promise<Program> {
  return recorded(network, (program) => network.recordTraining(program, rows, state, loss));
}

/**
 * Records clipping, AdamW and the method's weight update; then gradients and sums are zero for the
 * next step.
 */
function recordUpdate(
  network: Network,
  { maxGradNorm, eps, weightDecay }: OptimizerSettings,
  state: StepState,
  { updateStats }: Pick<TrainingStepOptions, "updateStats">,
): Promise<Program> {
  const { parameters, layers } = network;
  const segments = parameters.trainedSegments;
  return recorded(network, (program) => {
    program.phase("optimizer");
    gradNorm(program, { gradients: parameters.gradients, maxNorm: maxGradNorm, state });
    for (const { values, gradients, m, v, decayEnd } of segments) {
      adamW(program, {
        values,
        gradients,
        changes: parameters.needsChanges,
        firstMoment: m,
        secondMoment: v,
        eps,
        weightDecay,
        decayEnd,
        state,
      });
    }
    program.phase("update");
    if (updateStats) layers.updateStats?.enable();
    layers.update?.(program, state);
    recordMetrics(program, state);
    for (const { gradients } of segments) program.clear(gradients);
    program.clear(state.results);
  });
}

/** A prepared program; nothing is left of one that could not be recorded. */
async function recorded(
  { device }: Network,
  record: (program: Program) => void,
): Promise<Program> {
  using made = new DisposableStack();
  const program = made.use(new Program(device));
  record(program);
  await program.prepare();
  made.move();
  return program;
}
