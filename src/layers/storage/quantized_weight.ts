/**
 * A weight on the GPU as codes of one byte with one scale per row: what FALQON trains, and what
 * LoRA on FP8 keeps frozen.
 *
 * @module
 */

import { OptionError } from "../../errors.ts";
import {
  asVector,
  layoutOf,
  type Matrix,
  PANEL,
  pitched,
  rowsOf,
  unpitched,
  type Vector,
} from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import { LONGEST_SUM } from "../../kernels/gemm/int8_operands.ts";
import { placeCodes, rowsFromPanels } from "../../kernels/rows/copy_codes.ts";
import { dequantize, quantize } from "../../kernels/rows/quantize.ts";
import { rotate } from "../../kernels/rows/rotation.ts";
import { FORMATS, type NumberFormat, type ScaleGranularity } from "../../numerics/formats.ts";
import type { LinearPart, LinearSpec } from "../linear_spec.ts";
import { largestRowScales, rowScales } from "../../numerics/scale_grid.ts";
import type { StoredCodes, WeightSource } from "../weight_source.ts";
import { loadPart, weightName } from "../load.ts";
import { mergedSource } from "../ordered_source.ts";
import { toStored } from "../row_order.ts";

/** The scale of a row of zeros, so that it can take updates of ordinary size. */
export const VANISHING_SCALE = 1;

/** Products with a weight, and with its transpose, are sums over its sides. */
function expectSummable(name: string, longest: number): void {
  if (longest <= LONGEST_SUM) return;
  throw new OptionError(
    `Cannot keep "${name}" in int8 as a side of it has ${longest} values, and only sums of up to ` +
      `${LONGEST_SUM} products are sure to fit 32 bits: choose the format fp8`,
  );
}

/** Rows of a weight as they are stored. */
export interface QuantizedRows {
  format: NumberFormat;
  /** [rows, cols] */
  codes: Uint8Array<ArrayBuffer>;
  /** f32 [rows]: the value of a code is `decode(code) · scale`. */
  valueScales: Float32Array<ArrayBuffer>;
  /** The block by which rows are rotated. */
  rotation: number;
}

/** The parts of a merged linear layer below each other as codes, with space for further rows. */
export class QuantizedWeight {
  /** Codes [width + further rows, inFeatures] */
  readonly codes: Matrix;
  /**
   * f32 [width + further rows]: rows were multiplied by these before they were encoded; 1 for rows
   * between parts.
   */
  readonly scales: Vector;
  readonly #device: Device;
  readonly #granularity: ScaleGranularity;
  readonly #headroom: number;
  /** What rows are rotated by before they are rounded. */
  readonly #rotation: number;

  /**
   * @param format Of the codes: one byte per value.
   * @param options `granularity` `tensor`: the rows of a part share their scale. `headroom`: by how
   * much the scales of parts leave room above the largest magnitude; codes that come from a file
   * keep their scales. `rotation`: the block by which rows are rotated before they are rounded, 1 for
   * none.
   */
  constructor(
    device: Device,
    { name, width, inFeatures }: LinearSpec,
    readonly format: NumberFormat,
    { granularity = "row", headroom = 1, furtherRows = 0, rotation = 1 }: {
      granularity?: ScaleGranularity;
      headroom?: number;
      rotation?: number;
      furtherRows?: number;
    } = {},
  ) {
    this.#device = device;
    this.#granularity = granularity;
    this.#headroom = headroom;
    this.#rotation = rotation;
    const rows = width + furtherRows;
    if (format.name === FORMATS.int8.name) expectSummable(name, Math.max(rows, inFeatures));
    this.codes = device.matrix(
      rows,
      inFeatures,
      format.name,
      `${name} weight in ${format.name}`,
      "model",
    );
    this.scales = device.vector(rows, "f32", `${name} scales`, "model");
    device.write(this.scales, new Float32Array(rows).fill(1));
  }

  /**
   * Fills a part from a model's files, which may have it as codes of the same format: these are
   * taken as they are, if they are rotated alike and their scales fit. Where only the scales do not, as
   * there are several per row, they are rounded under the largest of these: the codes that it belongs
   * to stay as they are.
   *
   * @param wantsError Whether to return the rounding error.
   * @returns The error, f32 [rows, inFeatures] and rotated as the codes are, for the caller to free;
   * null if it was not asked for or is not known.
   */
  async loadPart(
    part: LinearPart,
    source: WeightSource,
    wantsError = false,
  ): Promise<Matrix | null> {
    const { rows, start } = part;
    const cols = this.codes.cols;
    const name = weightName(part);
    const stored = await mergedSource(part, source).codes(name, [rows, cols]);
    const isAlike = stored?.format === this.format && stored.rotation === this.#rotation;
    const taken = isAlike ? this.#fittingScales(part, rowScales(stored.grid, [rows, cols])) : null;
    if (taken) {
      await this.#writeStored(start, stored!.codes, taken);
      return null;
    }
    source.onRounded?.(name);
    const device = this.#device;
    const original = device.matrix(rows, cols, "f32", "weight to quantise", "model");
    const error = wantsError
      ? device.matrix(rows, cols, "f32", "quantisation error", "model")
      : null;
    try {
      await loadPart(device, part, source, original);
      await this.rotate(original);
      const scales = isAlike ? this.#coveringScales(part, stored) : null;
      await this.quantizeRows(start, original, { scales, error, headroom: this.#headroom });
      return error;
    } catch (failure) {
      device.free(error);
      throw failure;
    } finally {
      device.free(original);
    }
  }

  /** The scales of a part's rows if the weight can have them, else null. */
  #fittingScales(part: LinearPart, scales: Float32Array<ArrayBuffer> | null) {
    if (scales === null || this.#granularity === "row") return scales;
    const own = toStored(part, scales);
    return own.every((scale) => scale === own[0]) ? scales.fill(own[0]) : null;
  }

  /** The smallest of the file's scales under which no value of a row, or of the part, saturates. */
  #coveringScales(part: LinearPart, { grid }: StoredCodes): Float32Array<ArrayBuffer> {
    const largest = largestRowScales(grid, [part.rows, this.codes.cols]);
    if (this.#granularity === "tensor") {
      largest.fill(toStored(part, largest).reduce((a, b) => Math.max(a, b)));
    }
    return largest.map((scale) => 1 / scale);
  }

  /**
   * Writes codes as they are in the file. The file's scales multiply decoded values, `scales`
   * multiply values before encoding.
   */
  async #writeStored(
    start: number,
    codes: Uint8Array<ArrayBuffer>,
    valueScales: Float32Array<ArrayBuffer>,
  ): Promise<void> {
    const { cols, pitch } = this.codes;
    const rows = codes.length / cols;
    const whole = pitched(codes, rows, cols, pitch);
    if (layoutOf(this.format.name) === "rows") {
      this.#device.write(this.codes, whole, start * pitch);
    } else {
      const source = this.#device.matrix(rows, pitch / 4, "u32", "codes of a file", "model");
      this.#device.write(source, whole);
      try {
        await submitOnce(
          this.#device,
          (program) => placeCodes(program, source, { codes: this.codes, first: start }),
        );
      } finally {
        this.#device.free(source);
      }
    }
    this.#device.write(this.scales, valueScales.map((scale) => 1 / scale), 4 * start);
  }

  /** Rotates f32 rows [·, inFeatures] in place, as the weight's are. */
  async rotate(input: Matrix): Promise<void> {
    const block = this.#rotation;
    if (block > 1) await submitOnce(this.#device, (program) => rotate(program, { input, block }));
  }

  /**
   * Writes rows from `first` on.
   *
   * @param input f32 [rows, inFeatures], rotated by {@linkcode QuantizedWeight.rotate} where the
   * weight is.
   * @param options `scales`: of the rows; null to find them, with `headroom` above the largest
   * magnitudes. `error`, f32 [rows, inFeatures]: receives the stored values minus the input.
   */
  async quantizeRows(
    first: number,
    input: Matrix,
    { scales: given = null, headroom = 1, error = null }: {
      scales?: Float32Array<ArrayBuffer> | null;
      headroom?: number;
      error?: Matrix | null;
    } = {},
  ): Promise<void> {
    const device = this.#device;
    const { rows } = input;
    const scales = device.vector(rows, "f32", "scales", "model");
    if (given) device.write(scales, given);
    const granularity = given ? "given" : this.#granularity;
    const { codes } = this;
    const size = 4 * rows;
    const place = { codes, scales, firstRow: first };
    try {
      await submitOnce(device, (program) => {
        const scaling = { headroom, vanishing: VANISHING_SCALE };
        quantize(program, { ...place, input, granularity, ...scaling });
        program.copy({ ...scales, size }, { ...this.scales, offset: 4 * first, size });
        if (error) dequantize(program, { ...place, out: error, subtract: input });
      });
    } finally {
      device.free(scales);
    }
  }

  /** Reads `count` scales from row `first` on. */
  async readScales(first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    const view = { ...this.scales, offset: 4 * first, size: 4 * count };
    return new Float32Array(await this.#device.read(view));
  }

  /** A part as a file stores it, rotated: its codes are [outFeatures, inFeatures]. */
  async readStored(part: LinearPart): Promise<QuantizedRows> {
    const { start, rows } = part;
    const { cols, pitch } = this.codes;
    const scales = await this.readScales(start, rows);
    const isRows = layoutOf(this.format.name) === "rows";
    const first = isRows ? start : start - start % PANEL.rows;
    const view = rowsOf(this.codes, first, start - first + rows);
    const stored = new Uint8Array(await this.#device.read(view));
    const codes = isRows
      ? unpitched(stored, rows, cols, pitch)
      : rowsFromPanels(stored, this.codes, start - first, rows);
    return {
      format: this.format,
      codes: toStored(part, codes),
      valueScales: toStored(part, scales.map((scale) => 1 / scale)),
      rotation: this.#rotation,
    };
  }

  /** Records a part as numbers, rotated back: f32 [rows, inFeatures]. */
  decodePart(program: Program, { start, rows }: LinearPart, out: Matrix): void {
    const scales = asVector(program.scratch(1, rows, "scales of decoded rows", "f32", "model"));
    const size = 4 * rows;
    program.copy({ ...this.scales, offset: 4 * start, size }, { ...scales, size });
    dequantize(program, { codes: this.codes, scales, out, firstRow: start });
    rotate(program, { input: out, block: this.#rotation });
  }

  /** A part as numbers, rotated back: f32 [outFeatures, inFeatures]. */
  async readPart(part: LinearPart): Promise<Float32Array<ArrayBuffer>> {
    const device = this.#device;
    const out = device.matrix(part.rows, this.codes.cols, "f32", "decoded weight", "model");
    try {
      await submitOnce(device, (program) => this.decodePart(program, part, out));
      return toStored(part, await device.readMatrix(out));
    } finally {
      device.free(out);
    }
  }

  /** Frees its buffers. */
  free(): void {
    this.#device.free(this.codes, this.scales);
  }
}
