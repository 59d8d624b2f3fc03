/**
 * Merged linear layers: several linear layers of the model that are one weight and one GEMM.
 *
 * q, k and v read the same input, and so do gate and up: each group is one weight `[width,
 * inFeatures]`. They are stored below each other. Each starts at a multiple of 16, so that blocks of
 * columns of the output can be read as whole vectors. Rows between them are zero.
 *
 * A part is a linear layer as the model has it, with one tensor and one adapter: q, k and v, or all
 * of them as one `qkv_proj`.
 *
 * @module
 */

import type { OrderedRows } from "./row_order.ts";

/** One linear layer of the Hugging Face model inside a merged one. */
export interface LinearPart extends OrderedRows {
  /** Module path, such as `model.layers.0.self_attn.q_proj`. */
  module: string;
  /** Last component of the path, such as `q_proj`, as in `targetModules`. */
  kind: string;
  /** First row of the merged weight, first column of the merged output. */
  start: number;
  /** Whether it has one output for each head, not many: a gate. Default false. */
  perHead?: boolean;
  /** Whether it adds a bias, which is ordered as its rows are. Default false. */
  bias?: boolean;
}

/** A merged linear layer. */
export interface LinearSpec {
  /** Such as `layers.0.qkv`. */
  name: string;
  inFeatures: number;
  /** Columns of the merged output, a multiple of 16. */
  width: number;
  parts: LinearPart[];
  /** Factor of the output, adapters and biases included, before anything is added to it. Default 1. */
  outputFactor?: number;
}
