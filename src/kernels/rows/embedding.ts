/**
 * Looks up the rows of the embedding table, and adds up their gradient in a fixed order.
 *
 * @module
 */

import { ELEMENT_BYTES, type Matrix, type Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";

/** Threads of a workgroup; a multiple of 32. */
const THREADS = 128;

/** Where the rows of a table are in the embedding that it is a slab of. */
export interface SlabPlace {
  /** The id that its row 0 belongs to. */
  firstRow: number;
  /** Rows of all slabs. */
  vocab: number;
}

/** Operands and options of {@linkcode embed}. */
export interface EmbedOptions {
  /** u32 [tokens], each below the rows of the table (others count as the last). */
  ids: Vector;
  /** f32 or f16 [vocab, cols], or fewer rows: a slab. */
  table: Matrix;
  /** Where the table is a slab: rows of the output whose ids are in another one stay. */
  slab?: SlabPlace;
  /** f32 [tokens, cols] */
  output: Matrix;
  /** Factor of the rows. Default 1. */
  scale?: number;
}

/** Records `output[t] = scale · table[ids[t]]`. */
export function embed(
  program: Program,
  { ids, table, slab, output, scale = 1 }: EmbedOptions,
): void {
  const { rows: tokens, pitch } = output;
  expectVector("embed", "ids", ids, tokens, "u32");
  expectMatrix("embed", "table", table, {
    rows: table.rows,
    cols: output.cols,
    types: ["f32", "f16"],
  });
  expectMatrix("embed", "output", output, { rows: tokens, cols: output.cols });
  expectInside("embed", table, slab);
  const vectors = pitch / 4;
  program.dispatch(
    program.device.kernel("embedding", {
      F16: table.type === "f16",
      SLAB: !!slab,
      SCALED: scale !== 1,
      THREADS,
    }),
    { ids, table, output },
    {
      tokens,
      vocab: slab?.vocab ?? table.rows,
      vectors,
      ...(slab && { first: slab.firstRow, rows: table.rows }),
      ...(scale !== 1 && { scale }),
    },
    linearGrid(tokens * vectors, THREADS),
    { bytes: output.size + tokens * table.pitch * ELEMENT_BYTES[table.type] },
  );
}

/** Operands and options of {@linkcode embedBackward}. */
export interface EmbedBackwardOptions {
  /** As in the forward. */
  ids: Vector;
  /** Gradient of the output, f32 [tokens, cols]. */
  dOutput: Matrix;
  /** Gradient of the table, f32 [vocab, cols]; added to. */
  dTable: Matrix;
  /** As in the forward. */
  slab?: SlabPlace;
  /** As in the forward. */
  scale?: number;
}

/** Records the gradient of {@linkcode embed} with respect to the table, added to `dTable`. */
export function embedBackward(
  program: Program,
  { ids, dOutput, dTable, slab, scale = 1 }: EmbedBackwardOptions,
): void {
  const { rows: tokens, cols, pitch } = dOutput;
  const vocab = dTable.rows;
  expectVector("embedBackward", "ids", ids, tokens, "u32");
  expectMatrix("embedBackward", "dOutput", dOutput, { rows: tokens, cols });
  expectMatrix("embedBackward", "dTable", dTable, { rows: vocab, cols });
  expectInside("embedBackward", dTable, slab);
  const vectors = pitch / 4;
  const blocks = Math.ceil(vectors / THREADS);
  program.dispatch(
    program.device.kernel("embedding_backward", { SLAB: !!slab, SCALED: scale !== 1, THREADS }),
    { ids, d_output: dOutput, d_table: dTable },
    {
      tokens,
      vocab,
      vectors,
      blocks,
      ...(slab && { first: slab.firstRow }),
      ...(scale !== 1 && { scale }),
    },
    linearGrid(vocab * blocks, 1),
  );
}

function expectInside(kernel: string, { rows }: Matrix, slab?: SlabPlace): void {
  if (!slab || slab.firstRow + rows <= slab.vocab) return;
  const last = slab.firstRow + rows;
  throw new RangeError(
    `${kernel}: the slab has rows ${slab.firstRow} to ${last} of ${slab.vocab}`,
  );
}
