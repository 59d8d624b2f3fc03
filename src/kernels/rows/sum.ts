/**
 * Adds up a vector, such as the losses of a batch, in a fixed order.
 *
 * @module
 */

import type { BufferView, Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { expectVector } from "../shapes.ts";

/** Operands and options of {@linkcode addSum}. */
export interface AddSumOptions {
  /** f32 [n] */
  values: Vector;
  /** f32 elements, one of which is added to. */
  out: BufferView;
  /** Which element of `out`. Default 0. */
  index?: number;
}

/** Records `out[index] += Σ values`, in a fixed order. For as many values as a batch has tokens. */
export function addSum(program: Program, { values, out, index = 0 }: AddSumOptions): void {
  expectVector("addSum", "values", values, values.length);
  if (values.length === 0) return;
  program.dispatch(
    program.device.kernel("sum", { THREADS: 256 }),
    { values, out },
    { count: values.length, index },
    [1],
  );
}
