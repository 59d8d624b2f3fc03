/**
 * What a method gives to be saved: the form of a network, and the parts of its layers as tensors.
 *
 * @module
 */

import type { FloatDType } from "../io/dtype.ts";
import type { PeftAdapter, PeftConfig } from "../io/peft.ts";
import type { CodeFormat, ScaleGranularity } from "../numerics/formats.ts";

/** A network that is saved as a whole model. */
export interface SavedModel {
  kind: "model";
  /** Storage of embedding, norms and lm_head. */
  dtype: FloatDType;
  /** The linear layers as codes; null where they are stored as `dtype`. */
  codes: SavedCodes | null;
}

/** How linear layers are stored as codes. */
export interface SavedCodes {
  /** The format, also of the activations when the model runs. */
  format: CodeFormat;
  /** What shares a scale. */
  granularity: ScaleGranularity;
}

/** A network that is saved as a PEFT adapter. */
export interface SavedAdapter {
  kind: "adapter";
  config: PeftConfig;
  /** Reads the adapters by module. */
  tensors(): Promise<PeftAdapter["tensors"]>;
  /** What a given adapter had besides, unchanged. */
  others?: PeftAdapter["others"];
}

/** A part of a linear layer as tensors of a quantised model's file. */
export interface StoredPart {
  /** `X.weight` [outFeatures, inFeatures] */
  codes: Uint8Array<ArrayBuffer>;
  /**
   * `X.weight_scale`, f32 [outFeatures]: the value of a code is `decode(code) · scale`.
   */
  scales: Float32Array<ArrayBuffer>;
}
