/**
 * Quantisation with dynamic scales, one per row (token) or one for the whole matrix, to any format
 * that has scales.
 *
 * @module
 */

import { type BufferView, type Matrix, pitchOf, type Vector } from "../../gpu/buffers.ts";
import { type Bindings, linearGrid, type Program } from "../../gpu/program.ts";
import { formatOf, SCALED_FORMATS, type ScaleGranularity } from "../../numerics/formats.ts";
import { codeConstants } from "../codes.ts";
import { expectRotation, rotate, rotationConstants } from "./rotation.ts";
import {
  expectMatrix,
  expectVector,
  rowConstants,
  type RowVariant,
  threadsForRow,
} from "../shapes.ts";

/** A quantised matrix: `value[r][c] = decode(codes[r][c]) / scales[r]`. */
export interface Quantized {
  /** [rows, cols] */
  codes: Matrix;
  /** f32 [rows]: what each row was multiplied by before it was encoded. */
  scales: Vector;
  /**
   * The block that rows are rotated by before that, see numerics/hadamard.ts: the codes are of
   * `value · H`. Default 1: they are not rotated.
   */
  rotation?: number;
}

/**
 * A quantised gradient of a linear layer's output, as the product with the layer's weight wants it:
 * never rotated.
 */
export interface QuantizedGradient extends Quantized {
  /**
   * f32 [cols]: columns are divided by these first, the scales of the weight's rows that the
   * product runs over.
   */
  columnScales?: Vector;
}

/**
 * Checks where a kernel should write its quantised result. A merged layer's width counts the zero
 * rows up to a multiple of 16, so codes may go on up to the pitch.
 *
 * @param kernel Name of the recorder, for the message.
 * @throws {TypeError} for codes of another type.
 * @throws {RangeError} for another shape, or a rotation that is not possible.
 */
export function expectQuantized(
  kernel: string,
  { codes, scales, rotation = 1 }: Quantized,
  { rows, cols }: { rows: number; cols: number },
): void {
  expectRotation(kernel, rotation, cols);
  const fits = codes.cols >= cols && codes.pitch === pitchOf(cols, codes.type);
  const narrowed = fits ? { ...codes, cols } : codes;
  expectMatrix(kernel, "codes", narrowed, { rows, cols, types: SCALED_FORMATS });
  expectVector(kernel, "scales", scales, rows);
}

/**
 * The same for a gradient, whose column scales may go on up to the pitch as well.
 *
 * @throws {TypeError} for codes of another type.
 * @throws {RangeError} for another shape, or a rotation.
 */
export function expectQuantizedGradient(
  kernel: string,
  { codes, scales, columnScales, rotation = 1 }: QuantizedGradient,
  { rows, cols }: { rows: number; cols: number },
): void {
  if (rotation > 1) {
    throw new RangeError(
      `${kernel}: codes of a gradient are not rotated: expected rotation 1, not ${rotation}`,
    );
  }
  expectQuantized(kernel, { codes, scales }, { rows, cols });
  if (!columnScales) return;
  const length = Math.min(columnScales.length, cols);
  expectVector(kernel, "columnScales", { ...columnScales, length }, cols);
}

/** The bindings of wgsl/rows/row_codes.wgsl; none where nothing is quantised. */
export function codesOf(quantized: Quantized | null | undefined): Bindings {
  return quantized ? { codes: quantized.codes, scales: quantized.scales } : {};
}

/** Operands and options of {@linkcode quantize}. */
export interface QuantizeOptions {
  /** [rows, cols], f32; or f16, but where all rows of a rotation share a scale */
  input: Matrix;
  /** Codes of a format with scales [rows, cols + trailing columns] */
  codes: Matrix;
  /**
   * f32 [rows]: what each row is multiplied by before it is encoded. All equal for granularity
   * `tensor`.
   */
  scales: Vector;
  /** `given`: the scales are read, not written. */
  granularity: ScaleGranularity | "given";
  /** f32 [cols + trailing columns]: the input's columns are divided by these first. */
  columnScales?: BufferView;
  /** f32 [rows, t]: columns that follow the input's. */
  trailingColumns?: Matrix;
  /**
   * The block that rows are rotated by before they are encoded. Default 1: none. Gradients are not
   * rotated, so there are neither trailing columns nor column scales then.
   */
  rotation?: number;
  /** The first of the rows of `codes` that are written. Default 0. */
  firstRow?: number;
  /** The first of the scales that are written or read; 0 for granularity `tensor`. Default 0. */
  firstScale?: number;
  /** The scale of rows that vanish. Default: the format's. */
  vanishing?: number;
  /**
   * By how much scales leave room above the largest magnitude, where the format's bring it to the
   * maximum. Default 1: none.
   */
  headroom?: number;
  /** How a row is shared, for measurements. */
  variant?: RowVariant;
}

/**
 * Records `codes = encode(input · scale)`, the scale as the rule of the format makes it from the
 * largest magnitude that shares it.
 */
export function quantize(program: Program, options: QuantizeOptions): void {
  checkShapes(options);
  const { input, codes, scales, granularity, columnScales, trailingColumns, rotation = 1 } =
    options;
  const { device } = program;
  const { rows, cols } = input;
  const width = (input.pitch + (trailingColumns?.pitch ?? 0)) / 4;
  if (rows === 0 || width === 0) return;
  if (rotation > 1 && granularity === "tensor") {
    // The largest magnitude is that of all rotated rows, so they are made before.
    const rotated = program.scratch(rows, cols, "rotated values");
    rotate(program, { input, output: rotated, block: rotation });
    quantize(program, { ...options, input: rotated, rotation: 1 });
    return;
  }
  const inputs = {
    x: input,
    ...(columnScales && { column_scales: columnScales }),
    ...(trailingColumns && { trailing: trailingColumns }),
  };
  const variant = {
    X: input.type,
    COLUMN_SCALES: !!columnScales,
    TRAILING: !!trailingColumns,
  };
  const params = {
    rows,
    vectors: input.pitch / 4,
    trailing_vectors: trailingColumns ? trailingColumns.pitch / 4 : 0,
  };
  const constants = codeConstants(codes.type, options);
  const grid = linearGrid(rows, 1);
  if (granularity === "tensor") {
    const amax = device.kernel("tensor_amax", { ...variant, THREADS: threadsForRow(4 * width) });
    program.dispatch(amax, { ...inputs, amax: scales }, params, grid);
    const scale = device.kernel("tensor_scale", { ...constants, THREADS: 256 });
    program.dispatch(scale, { scales }, { rows }, [1]);
  }
  program.dispatch(
    device.kernel("quantize_rows", {
      ...variant,
      ...rowConstants(device, width, 1, options.variant, rotation > 1),
      ...rotationConstants("values", rotation),
      ...constants,
      CODES_TOP: "params.top", // one kernel for rows with headroom and without
      GIVEN_SCALES: granularity !== "row",
      SEEN: granularity === "given", // else the scale that was found has seen it
    }),
    { ...inputs, codes, scales },
    {
      ...params,
      first_row: options.firstRow ?? 0,
      first_scale: options.firstScale ?? 0,
      top: formatOf(codes.type).max / (options.headroom ?? 1),
    },
    grid,
    { label: `${rows}×${codes.cols} ${codes.type}${rotation > 1 ? " rotated" : ""}` },
  );
}

/** Operands and options of {@linkcode dequantize}. */
export interface DequantizeOptions {
  /** Codes of a format with scales [rows, cols] */
  codes: Matrix;
  /** f32 [rows] */
  scales: Vector;
  /** f32 [rows, cols] */
  out: Matrix;
  /** f32 [rows, cols], taken off: the original, so that `out` is the quantisation error. */
  subtract?: Matrix;
  /** The first of the rows of `codes` that are decoded, as many as `out` has. Default 0. */
  firstRow?: number;
}

/** Records `out = decode(codes) / scale (− subtract)`, row by row. */
export function dequantize(
  program: Program,
  { codes, scales, out, subtract, firstRow = 0 }: DequantizeOptions,
): void {
  const { rows } = out;
  const shapes = [out, subtract ?? out];
  const alike = shapes.every((shape) =>
    shape.rows === rows && pitchOf(shape.cols, codes.type) === codes.pitch
  );
  if (!alike || firstRow + rows > codes.rows || scales.length < rows) {
    throw new RangeError(
      `Cannot dequantise ${codes.rows}×${codes.cols} codes from row ${firstRow} on ` +
        `with ${scales.length} scales into ${rows}×${out.cols}`,
    );
  }
  const vectors = out.pitch / 4;
  program.dispatch(
    program.device.kernel("dequantize_rows", {
      ...codeConstants(codes.type),
      SUBTRACT: !!subtract,
    }),
    { codes, scales, out, ...(subtract && { subtract }) },
    { rows, vectors, first_row: firstRow },
    linearGrid(rows * vectors, 64),
  );
}

function checkShapes(options: QuantizeOptions) {
  const { input, codes, scales, trailingColumns, columnScales, granularity, firstRow } = options;
  const { rotation = 1, firstScale = 0 } = options;
  expectRotation("quantize", rotation, input.cols);
  const width = input.pitch + (trailingColumns?.pitch ?? 0);
  const rows = firstRow === undefined ? codes.rows : Math.min(codes.rows - firstRow, input.rows);
  const { granularities } = formatOf(codes.type);
  const readable = input.type === "f32" || input.type === "f16";
  const problem = !readable || granularities.length === 0
    ? `${input.type} becomes ${codes.type}: expected f32 or f16 and one of ` +
      SCALED_FORMATS.join(", ")
    : granularity !== "given" && !granularities.includes(granularity)
    ? `${codes.type} has no scale per ${granularity}: expected one per ${
      granularities.join(" or ")
    }`
    : rows !== input.rows || codes.pitch !== pitchOf(width, codes.type)
    ? `codes of ${rows}×${codes.pitch} cannot hold ${input.rows}×${width}`
    : scales.length < firstScale + input.rows
    ? `${scales.length} scales are too few for ${input.rows} rows from ${firstScale} on`
    : granularity === "tensor" && firstScale > 0
    ? `scales from ${firstScale} on are those of rows: expected granularity row or given`
    : trailingColumns && trailingColumns.rows !== input.rows
    ? `trailing columns of ${trailingColumns.rows} rows do not continue ${input.rows}`
    : rotation > 1 && (trailingColumns || columnScales)
    ? `rows with trailing columns or column scales are not rotated: expected rotation 1, not ${rotation}`
    : columnScales && columnScales.size < 4 * width
    ? `column scales of ${columnScales.size} bytes are too few for ${width} columns`
    : null;
  if (problem) throw new RangeError(`Cannot quantise as ${problem}`);
}
