/**
 * Products of int8 codes: sums of integers, so the GPU's must be the same, and how they become values, step by step in
 * f32 as the kernels do it.
 *
 * @module
 */

/** Codes `[rows, cols]`, from -127 to 127. */
export interface Codes {
  values: Int8Array;
  rows: number;
  cols: number;
}

/** Σ_k a[m, k] · b[n, k], exact. */
export function integerProductNT(a: Codes, b: Codes): Float64Array {
  const sums = new Float64Array(a.rows * b.rows);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.rows; j++) {
      let sum = 0;
      for (let l = 0; l < a.cols; l++) sum += a.values[i * a.cols + l] * b.values[j * b.cols + l];
      sums[i * b.rows + j] = sum;
    }
  }
  return sums;
}

/** The transpose. */
export function transposed({ values, rows, cols }: Codes): Codes {
  const turned = Int8Array.from(values, (_, i) => values[i % rows * cols + Math.floor(i / rows)]);
  return { values: turned, rows: cols, cols: rows };
}

/** What sums are scaled by and added to; see `GemmOptions`. */
export interface Finish {
  rowScales?: Float32Array;
  columnScales?: Float32Array;
  alpha?: number;
  /** `[n]` */
  bias?: Float32Array;
  /** `[m, n]`, what the output held. */
  old?: Float32Array;
  /** `[m, n]` */
  addend?: Float32Array;
}

/** The values of sums `[m, n]`, every operation rounded to f32. */
export function finishedProduct(
  sums: Float64Array,
  n: number,
  { rowScales, columnScales, alpha = 1, bias, old, addend }: Finish,
): Float32Array {
  const rounded = Math.fround;
  return Float32Array.from(sums, (sum, i) => {
    const row = rounded(alpha / (rowScales?.[Math.floor(i / n)] ?? 1));
    const column = rounded(1 / (columnScales?.[i % n] ?? 1));
    const scaled = rounded(rounded(sum) * rounded(row * column));
    const biased = bias ? rounded(scaled + bias[i % n]) : scaled;
    const added = old ? rounded(biased + old[i]) : biased;
    return addend ? rounded(added + addend[i]) : added;
  });
}
