/**
 * Merged linear layers: several linear layers of the model that are one weight and one GEMM.
 *
 * q, k and v read the same input, and so do gate and up: each group is one weight `[width,
 * inFeatures]`. The parts of a group are stored below each other. Each starts at a multiple of 16,
 * so that blocks of columns of the output can be read as whole vectors. Rows between the parts are
 * zero.
 *
 * @module
 */

/** One linear layer of the Hugging Face model inside a merged one. */
export interface LinearPart {
  /** Module path, such as `model.layers.0.self_attn.q_proj`. */
  module: string;
  /** Last component of the path, such as `q_proj`, as in `targetModules`. */
  kind: string;
  /** Output features. */
  rows: number;
  /** First row of the merged weight, first column of the merged output. */
  start: number;
  /** Its bias, where it has one. */
  bias?: StoredBias;
}

/** Where the bias of a part is stored: elements of a vector of the model. */
export interface StoredBias {
  /** The name of the vector, such as `model.layers.0.self_attn.q_proj.bias`. */
  name: string;
  /** The part's first element in it. */
  firstRow: number;
  /** Elements of the vector, all parts together that it is of. */
  length: number;
}

/** A merged linear layer. */
export interface LinearSpec {
  /** Such as `layers.0.qkv`. */
  name: string;
  inFeatures: number;
  /** Columns of the merged output, a multiple of 16. */
  width: number;
  parts: LinearPart[];
}

/** The kinds of linear layers that adapters can be put on, in the order of a block. */
export const LINEAR_KINDS = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
] as const;
