/**
 * The gradient of a factor of low rank from splits of its tokens: each is summed by workgroups of
 * its own, in either arithmetic, and the partial sums are added in a fixed order.
 *
 * @module
 */

import {
  type ColumnBlock,
  columnsOf,
  ELEMENT_BYTES,
  type Matrix,
  roundUp,
} from "../../gpu/buffers.ts";
import type { Bindings, Program } from "../../gpu/program.ts";
import type { KernelName } from "../../gpu/kernels.generated.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { sumPartials } from "./sum_partials.ts";

/** Operands and options of {@linkcode recordSplitK}. */
export interface SplitKOptions {
  /** [tokens, m] and [tokens, n] */
  a: ColumnBlock;
  b: ColumnBlock;
  /** f32 [m, n] */
  out: Matrix;
  accumulate: boolean;
  /** Tokens of a split. */
  splitK: number;
  kernel: KernelName;
  /** `BM` and `BN` are the rows and columns of the output that a workgroup makes. */
  constants: KernelConstants & { BM: number; BN: number };
  /** Besides `a`, `b` and `out`. */
  bindings?: Bindings;
  /** Besides m, n, tokens and pitches. */
  params: Readonly<Record<string, number>>;
  /** Columns of a vector, in which the kernel counts the pitches and columns of a and b. */
  unit: number;
}

/** Records `out (+)= Σ aᵀ·b` over all splits. */
export function recordSplitK(program: Program, options: SplitKOptions): void {
  const { a, b, out, accumulate, splitK, kernel, constants, unit } = options;
  const [m, n, tokens] = [a.cols, b.cols, a.matrix.rows];
  const splits = Math.ceil(tokens / splitK);
  const partials = splits > 1 && program.scratch(splits * m, n, "partial sums of a gradient");
  program.dispatch(
    program.device.kernel(kernel, { ...constants, ACCUMULATE: accumulate && !partials }),
    { a: a.matrix, b: b.matrix, out: partials || out, ...options.bindings },
    {
      m,
      n,
      tokens,
      a_pitch: a.matrix.pitch / unit,
      a_column: a.column / unit,
      b_pitch: b.matrix.pitch / unit,
      b_column: b.column / unit,
      out_pitch: (partials || out).pitch,
      ...options.params,
    },
    [Math.ceil(roundUp(n, 16) / constants.BN), Math.ceil(m / constants.BM), splits],
    {
      flops: 2 * m * n * tokens,
      bytes: tokens * (ELEMENT_BYTES[a.matrix.type] * m + ELEMENT_BYTES[b.matrix.type] * n) +
        4 * splits * m * n,
      label: `${m}×${n}×${tokens}`,
    },
  );
  if (partials) {
    const whole = columnsOf(out, 0, n);
    sumPartials(program, { partials, splits, out: whole, rows: m, cols: n, accumulate });
  }
}
