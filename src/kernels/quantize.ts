/**
 * FP8 quantisation with dynamic scales: one a row (token), or one for the whole matrix.
 *
 * @module
 */

import { E4M3, E5M2 } from "../fp8/codec.ts";
import type { BufferView, Matrix, Vector } from "../gpu/buffers.ts";
import { linearGrid, type Program } from "../gpu/program.ts";

/** What shares a scale. `tensor` is what the FALQON paper uses, `row` costs less and is finer. */
export type ScaleGranularity = "row" | "tensor";

/** What {@linkcode quantize} reads and writes. */
export interface QuantizeOptions {
  /** f32 [rows, cols] */
  input: Matrix;
  /** e4m3 or e5m2 codes [rows, cols + tail columns] */
  codes: Matrix;
  /** f32 [rows]: multiplied on the way in. One a row, all equal for granularity `tensor`. */
  scales: Vector;
  /** `given`: the scales are read, not written. */
  granularity: ScaleGranularity | "given";
  /** f32 [cols + tail columns]: the input's columns are divided by these first. */
  columnScales?: BufferView;
  /** f32 [rows, t]: columns that follow the input's. Its scales are found by row only. */
  tail?: Matrix;
}

/** Records `codes = encode(input · scale)`, `scale = max / amax`. */
export function quantize(program: Program, options: QuantizeOptions): void {
  const { input, codes, scales, granularity, columnScales, tail } = options;
  checkShapes(options);
  const { device } = program;
  const { rows } = input;
  const MAX = codes.type === "e4m3" ? E4M3.max : E5M2.max;
  const vectors = input.pitch / 4;
  if (granularity === "tensor") {
    tensorScale(program, { input, scales, first: 0, max: MAX, columnScales });
  }
  program.dispatch(
    device.kernel("quantize_rows", {
      MAX,
      E4M3: codes.type === "e4m3",
      GIVEN_SCALES: granularity !== "row",
      COLUMN_SCALES: !!columnScales,
      TAIL: !!tail,
    }),
    {
      x: input,
      codes,
      scales: { ...scales, size: 4 * rows },
      ...(columnScales && { column_scales: columnScales }),
      ...(tail && { tail }),
    },
    { vectors, tail_vectors: tail ? tail.pitch / 4 : 0, codes_pitch: codes.pitch / 4 },
    linearGrid(rows, 1),
  );
}

/** What {@linkcode dequantize} reads and writes. */
export interface DequantizeOptions {
  /** e4m3 or e5m2 codes [rows, cols] */
  codes: Matrix;
  /** f32 [rows] */
  scales: Vector;
  /** f32 [rows, cols] */
  out: Matrix;
}

/** Records `out = decode(codes) / scale`, row by row. */
export function dequantize(program: Program, { codes, scales, out }: DequantizeOptions): void {
  if (out.rows !== codes.rows || out.pitch !== codes.pitch || scales.length < codes.rows) {
    throw new RangeError(
      `Cannot dequantise ${codes.rows}×${codes.cols} codes with ${scales.length} scales ` +
        `into ${out.rows}×${out.cols}`,
    );
  }
  const vectors = codes.pitch / 4;
  program.dispatch(
    program.device.kernel("dequantize_rows", { E4M3: codes.type === "e4m3" }),
    { codes, scales, out },
    { rows: codes.rows, vectors },
    linearGrid(codes.rows * vectors, 64),
  );
}

/** What {@linkcode tensorScale} reads and writes. */
export interface TensorScaleOptions {
  /** f32 [rows, cols] */
  input: Matrix;
  /** f32; entries `first` to `first + rows` are written */
  scales: Vector;
  first: number;
  /** The magnitude that the largest input is scaled to. */
  max: number;
  columnScales?: BufferView;
}

/** Records the search of one scale for all rows of `input`, written once a row. */
export function tensorScale(program: Program, options: TensorScaleOptions): void {
  const { input, scales, first, max, columnScales } = options;
  const params = { vectors: input.pitch / 4, first, count: input.rows };
  if (input.rows === 0) return;
  program.dispatch(
    program.device.kernel("tensor_scale", {
      STAGE: "row_amax",
      MAX: max,
      COLUMN_SCALES: !!columnScales,
    }),
    { x: input, scales, ...(columnScales && { column_scales: columnScales }) },
    params,
    linearGrid(input.rows, 1),
  );
  program.dispatch(
    program.device.kernel("tensor_scale", { STAGE: "spread", MAX: max, COLUMN_SCALES: false }),
    { scales },
    params,
    [1],
  );
}

function checkShapes({ input, codes, scales, granularity, tail, columnScales }: QuantizeOptions) {
  const width = input.pitch + (tail?.pitch ?? 0);
  const problem = codes.rows !== input.rows || codes.pitch !== width
    ? `codes of ${codes.rows}×${codes.pitch} cannot hold ${input.rows}×${width}`
    : scales.length < input.rows
    ? `${scales.length} scales are too few for ${input.rows} rows`
    : tail && (tail.rows !== input.rows || granularity === "tensor")
    ? `a tail needs ${input.rows} rows and row scales`
    : columnScales && columnScales.size < 4 * width
    ? `column scales of ${columnScales.size} bytes are too few for ${width} columns`
    : null;
  if (problem) throw new RangeError(`Cannot quantise as ${problem}`);
}
