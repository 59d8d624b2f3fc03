/**
 * The part of a model that generation and the losses of sequences use. The class `Model` has these
 * functions as methods, so they must not import it.
 *
 * @module
 */

import { refuseKind } from "../checks.ts";
import type { Device } from "../gpu/public_device.ts";
import type { Tokenizer } from "../io/tokenizer.ts";
import type { WeightSource } from "../layers/weight_source.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Network } from "../model/network.ts";
import type { TokenArrays } from "../model/token_buffers.ts";

/**
 * Makes sure that something is a model.
 *
 * @throws {OptionError} if it is none.
 */
export function expectModel(model: Pick<LoadedModel, "config">): void {
  if (typeof model?.config !== "object") refuseKind("a model", model, "one of Model.load");
}

/** A model whose files are open. */
export interface LoadedModel {
  readonly config: ModelConfig;
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  /** Its layers on the GPU, loaded when first needed. */
  network(): Promise<Network>;
  /** −log p of every target of a step, 0 where there is none. */
  tokenLosses(arrays: TokenArrays): Promise<Float32Array<ArrayBuffer>>;
  /**
   * Its architecture as the adapter in use changes it, and the biases that this brings; left out where
   * there is none.
   */
  changed?(): { config: ModelConfig; addedBiases: readonly string[] };
  /** Source from which its current weights can be read. */
  source(): WeightSource;
}
