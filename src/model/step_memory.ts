/**
 * The buffers that a network needs for steps up to a length: activations, tokens, and the numbers of
 * each token.
 *
 * @module
 */

import type { Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { Activations } from "./activations.ts";
import type { ActivationMode, ActivationTypes } from "./activation_plan.ts";
import type { ModelConfig } from "./config.ts";
import { allocateTokens, freeTokens, type TokenBuffers } from "./token_buffers.ts";

/** Options of {@linkcode StepMemory}. */
interface StepMemoryOptions {
  device: Device;
  config: ModelConfig;
  mode: ActivationMode;
  types: ActivationTypes;
  /** Norms that keep statistics of their rows. */
  norms: number;
}

/** Memory for steps. */
export class StepMemory {
  readonly activations: Activations;
  /** What a step's tokens are written to. */
  readonly tokens: TokenBuffers;
  /** f32 [tokens]: −log p of each target. */
  readonly rowLoss: Vector;
  /** Per norm, f32 [tokens]: 1 / RMS of each row. */
  readonly rstd: readonly Vector[];
  readonly #device: Device;

  constructor({ device, config, mode, types, norms }: StepMemoryOptions) {
    const { tokens } = mode;
    this.#device = device;
    this.activations = new Activations(device, config, mode, types);
    this.tokens = allocateTokens(device, tokens, config.plan.layers);
    this.rowLoss = device.vector(tokens, "f32", "losses of the tokens");
    this.rstd = Array.from(
      { length: norms },
      () => device.vector(tokens, "f32", "norm statistics"),
    );
  }

  free(): void {
    this.activations[Symbol.dispose]();
    freeTokens(this.#device, this.tokens);
    this.#device.free(this.rowLoss, ...this.rstd);
  }
}

/** The mode that serves what memory is there for and what is wanted; null if that is served already. */
export function widenMode(
  held: ActivationMode | undefined,
  wanted: ActivationMode,
): ActivationMode | null {
  if (!held) return wanted;
  const { training } = wanted;
  const checkpointing = training ? wanted.checkpointing : held.checkpointing;
  const served = held.tokens >= wanted.tokens && (held.training || !training) &&
    held.checkpointing === checkpointing;
  return served ? null : {
    tokens: Math.max(wanted.tokens, held.tokens),
    training: training || held.training,
    checkpointing,
  };
}
