/**
 * LoRA adapters in memory, as the PEFT library has them.
 *
 * @module
 */

/** The settings of an adapter: its rank, its scale, and the layers it adapts. */
export interface PeftConfig {
  /** Rows of A and columns of B, but for layers whose factors have another. */
  rank: number;
  /** The product is scaled by `alpha / rank`, or `alpha / sqrt(rank)` with `useRslora`. */
  alpha: number;
  /** The adapted modules: last parts of their names, such as `q_proj`, or whole names. */
  targetModules: string[];
  /** Whether the adapter is rank-stabilised. */
  useRslora: boolean;
  /** Whether the rows of adapted weights have trained magnitudes (DoRA). Default false. */
  useDora?: boolean;
  /** The share of the adapters' inputs that training drops. Default 0. */
  dropout?: number;
  /** Settings of PEFT that belong to {@linkcode PeftAdapter.others}, as they were read. */
  kept?: Record<string, unknown>;
}

/** The two factors of the change of one linear layer: `ΔW = scale · B · A`. */
export interface LoraTensors {
  /** `[rank, inFeatures]`, row-major. */
  A: Float32Array<ArrayBuffer>;
  /** `[outFeatures, rank]`, row-major. */
  B: Float32Array<ArrayBuffer>;
  /** Columns of the linear's weight. */
  inFeatures: number;
  /** Rows of the linear's weight. */
  outFeatures: number;
  /** The layer's own alpha, where it is not that of the settings. */
  alpha?: number;
  /** DoRA: the norms `[outFeatures]` that the rows of the changed weight get. */
  magnitude?: Float32Array<ArrayBuffer>;
}

/** A tensor of an adapter that is no part of {@linkcode LoraTensors}. */
export interface PeftTensor {
  /** Its shape. */
  shape: number[];
  /** Its values, row-major. */
  values: Float32Array<ArrayBuffer>;
}

/** A LoRA adapter. */
export interface PeftAdapter {
  /** Its settings. */
  config: PeftConfig;
  /** The factors by the name of the module, such as `model.layers.0.self_attn.q_proj`. */
  tensors: Map<string, LoraTensors>;
  /**
   * What it has besides, by name, such as `lm_head.weight`: weights in place of the model's, biases,
   * factors of the embedding. Training leaves these as they are. Default none.
   */
  others?: Map<string, PeftTensor>;
}

/** The rank of the adapter of a layer. */
export function rankOf({ A, inFeatures }: LoraTensors): number {
  return A.length / inFeatures;
}

/** The factor of B·A for the adapter of a layer. */
export function scaleOf({ alpha, useRslora }: PeftConfig, tensors: LoraTensors): number {
  const rank = rankOf(tensors);
  return (tensors.alpha ?? alpha) / (useRslora ? Math.sqrt(rank) : rank);
}
