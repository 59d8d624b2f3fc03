/**
 * The merged weight of a FALQON layer, as what changes its rows sees it.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";

/** The merged weight `[W~; A~]` that an adapted part belongs to; `[W~; A~; ΔA~]` where A is trained. */
export interface MergedWeight {
  readonly spec: LinearSpec;
  /** Codes [width + rows of A, inFeatures]; where A is trained, those of ΔA follow */
  readonly weight: Matrix;
  /** f32, one per row of codes */
  readonly scales: Vector;
  /** Rows of A, of all parts. */
  readonly adapterRows: number;
  /** Reads `count` scales from row `first` on. */
  readScales(first: number, count: number): Promise<Float32Array<ArrayBuffer>>;
}
