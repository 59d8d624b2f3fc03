/**
 * Sums over the rows of a matrix, column by column: the gradient of a bias. Of the products with
 * another matrix: that of the factors of columns.
 *
 * @module
 */

import type { ColumnBlock, Matrix, Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { sumPartials } from "../gemm/sum_partials.ts";
import { expectMatrix, expectType, expectVector } from "../shapes.ts";

/** Operands of {@linkcode addColumnSums}. */
export interface ColumnSumsOptions {
  /** f32 [rows, cols] */
  input: ColumnBlock;
  /** f32 [1, cols], from a column that is a multiple of 16; added to. */
  out: ColumnBlock;
  /** Factor of the sums. Default 1. */
  alpha?: number;
  /** Sums products instead, and multiplies the sums. */
  product?: {
    /** f32, of the shape of the input's matrix. */
    times: Matrix;
    /** f32, an element per column of the input's matrix, up to its pitch. */
    factors: Vector;
  };
}

/** The most shares that the rows are summed in, and the rows that a share has at least. */
const MOST_CHUNKS = 64;
const SHORTEST_CHUNK = 32;

/**
 * Records `out[c] += alpha · Σ_r input[r][c]`, with `product` `out[c] += alpha · factors[c] · Σ_r
 * input[r][c] · times[r][c]`, in f32 and in a fixed order.
 */
export function addColumnSums(
  program: Program,
  { input, out, alpha = 1, product }: ColumnSumsOptions,
): void {
  const { matrix, column, cols } = input;
  const { rows } = matrix;
  checkShapes({ input, out });
  if (product) {
    expectMatrix("addColumnSums", "times", product.times, { rows, cols: matrix.cols });
    expectVector("addColumnSums", "factors", product.factors, matrix.pitch);
  }
  if (rows === 0 || cols === 0) return;
  const chunkRows = Math.max(SHORTEST_CHUNK, Math.ceil(rows / MOST_CHUNKS));
  const chunks = Math.ceil(rows / chunkRows);
  const partials = program.scratch(chunks, cols, "partial column sums");
  const vectors = partials.pitch / 4;
  program.dispatch(
    program.device.kernel("column_sums", { PRODUCT: !!product }),
    { input: matrix, partials, ...product },
    { rows, cols, column, pitch: matrix.pitch, vectors, chunk_rows: chunkRows, alpha },
    [Math.ceil(vectors / 64), chunks],
    { bytes: 4 * rows * cols + partials.size, label: `${rows}×${cols}` },
  );
  sumPartials(program, { partials, splits: chunks, out, rows: 1, cols, accumulate: true });
}

function checkShapes({ input, out }: Omit<ColumnSumsOptions, "alpha">): void {
  for (const [name, { matrix, column, cols }] of Object.entries({ input, out })) {
    expectType("addColumnSums", name, matrix.type, ["f32"]);
    if (column % 4 !== 0 || column + cols > matrix.pitch) {
      throw new RangeError(`addColumnSums: columns from ${column} on are not inside ${name}`);
    }
  }
  const { matrix: { rows }, column, cols } = out;
  if (rows !== 1 || cols !== input.cols || column % 16 !== 0) {
    throw new RangeError(
      `addColumnSums: out is ${rows}×${cols} from column ${column} on, not 1×${input.cols} from ` +
        "a multiple of 16 on",
    );
  }
}
