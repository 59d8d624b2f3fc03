/**
 * Cuts a matrix into blocks of columns.
 *
 * @param matrix `[rows, Σ widths]`.
 * @param widths Columns of each block.
 * @returns The blocks, each `[rows, width]`.
 */
export function splitColumns(matrix: Float64Array, widths: readonly number[]): Float64Array[] {
  const total = widths.reduce((a, b) => a + b);
  let end = 0;
  return widths.map((width) => {
    const start = end;
    end += width;
    return matrix.filter((_, i) => i % total >= start && i % total < end);
  });
}

/**
 * Joins matrices with equally many rows side by side.
 *
 * @param blocks Each `[rows, any width]`.
 * @param rows Rows of each.
 * @returns `[rows, Σ widths]`.
 */
export function joinColumns(blocks: readonly Float64Array[], rows: number): Float64Array {
  const widths = blocks.map((block) => block.length / rows);
  const total = widths.reduce((a, b) => a + b);
  const joined = new Float64Array(rows * total);
  for (let t = 0; t < rows; t++) {
    let column = t * total;
    for (const [i, block] of blocks.entries()) {
      joined.set(block.subarray(t * widths[i], (t + 1) * widths[i]), column);
      column += widths[i];
    }
  }
  return joined;
}

/** Columns of packed rows. */
export function takeColumns(
  values: ArrayLike<number>,
  width: number,
  { column, cols }: { column: number; cols: number },
): Float64Array {
  const rows = values.length / width;
  return Float64Array.from(
    { length: rows * cols },
    (_, i) => values[Math.floor(i / cols) * width + column + i % cols],
  );
}
