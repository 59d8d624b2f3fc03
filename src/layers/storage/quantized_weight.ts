/**
 * A weight on the GPU as codes of one byte with one scale per row: what FALQON trains, and what
 * LoRA on FP8 keeps frozen.
 *
 * @module
 */

import { type Matrix, pitched, rowsOf, unpitched, type Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import { dequantize, quantize } from "../../kernels/rows/quantize.ts";
import type { NumberFormat, ScaleGranularity } from "../../numerics/formats.ts";
import type { LinearPart, LinearSpec } from "../linear_spec.ts";
import type { StoredCodes, WeightSource } from "../weight_source.ts";
import { loadMatrix, weightName } from "../load.ts";

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

  /**
   * @param format Of the codes: one byte per value.
   * @param options `granularity` `tensor`: the rows of a part share their scale. `headroom`: by how
   * much the scales of parts leave room above the largest magnitude; codes that come from a file
   * keep their scales.
   */
  constructor(
    device: Device,
    { name, width, inFeatures }: LinearSpec,
    readonly format: NumberFormat,
    { granularity = "row", headroom = 1, furtherRows = 0 }: {
      granularity?: ScaleGranularity;
      headroom?: number;
      furtherRows?: number;
    } = {},
  ) {
    this.#device = device;
    this.#granularity = granularity;
    this.#headroom = headroom;
    const rows = width + furtherRows;
    this.codes = device.matrix(rows, inFeatures, format.name, `${name} weight in ${format.name}`);
    this.scales = device.vector(rows, "f32", `${name} scales`);
    device.write(this.scales, new Float32Array(rows).fill(1));
  }

  /**
   * Fills a part from a model's files, which may have it as codes of the same format: these are
   * taken as they are.
   *
   * @param wantsError Whether to return the rounding error.
   * @returns The error, f32 [rows, inFeatures], for the caller to free; null if it was not asked
   * for or is not known.
   */
  async loadPart(
    part: LinearPart,
    source: WeightSource,
    wantsError = false,
  ): Promise<Matrix | null> {
    const { rows, start } = part;
    const cols = this.codes.cols;
    const stored = await source.codes(weightName(part), [rows, cols]);
    if (stored?.format === this.format) {
      this.#writeStored(start, stored);
      return null;
    }
    const device = this.#device;
    const original = device.matrix(rows, cols, "f32", "weight to quantise");
    const error = wantsError ? device.matrix(rows, cols, "f32", "quantisation error") : null;
    try {
      await loadMatrix(device, weightName(part), rows, source, original);
      await this.quantizeRows(start, original, { error, headroom: this.#headroom });
      return error;
    } catch (failure) {
      device.free(error);
      throw failure;
    } finally {
      device.free(original);
    }
  }

  /**
   * Writes codes as they are in the file. The file's scales multiply decoded values, `scales`
   * multiply values before encoding.
   */
  #writeStored(start: number, { codes, valueScales }: StoredCodes): void {
    const { cols, pitch } = this.codes;
    const rows = pitched(codes, codes.length / cols, cols, pitch);
    this.#device.write(this.codes, rows, start * pitch);
    this.#device.write(this.scales, valueScales.map((scale) => 1 / scale), 4 * start);
  }

  /**
   * Writes rows from `first` on.
   *
   * @param input f32 [rows, inFeatures]
   * @param options `scale`: that of all of them; null to find it, with `headroom` above the largest
   * magnitude. `error`, f32 [rows, inFeatures]: receives the stored values minus the input.
   */
  async quantizeRows(
    first: number,
    input: Matrix,
    { scale = null, headroom = 1, error = null }: {
      scale?: number | null;
      headroom?: number;
      error?: Matrix | null;
    } = {},
  ): Promise<void> {
    const device = this.#device;
    const { rows } = input;
    const scales = device.vector(rows, "f32", "scales");
    if (scale !== null) device.write(scales, new Float32Array(rows).fill(scale));
    const granularity = scale === null ? this.#granularity : "given";
    const codes = rowsOf(this.codes, first, rows);
    const size = 4 * rows;
    try {
      await submitOnce(device, (program) => {
        quantize(program, { input, codes, scales, granularity, headroom });
        program.copy({ ...scales, size }, { ...this.scales, offset: 4 * first, size });
        if (error) dequantize(program, { codes, scales, out: error, subtract: input });
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

  /** A part as it would be stored. */
  async readStored({ start, rows }: LinearPart): Promise<StoredCodes> {
    const { cols, pitch } = this.codes;
    const padded = new Uint8Array(await this.#device.read(rowsOf(this.codes, start, rows)));
    const scales = await this.readScales(start, rows);
    return {
      format: this.format,
      codes: unpitched(padded, rows, cols, pitch),
      valueScales: scales.map((scale) => 1 / scale),
    };
  }

  /** A part as numbers, f32 [rows, inFeatures]. */
  async readPart({ start, rows }: LinearPart): Promise<Float32Array<ArrayBuffer>> {
    const device = this.#device;
    const scales = device.vector(rows, "f32", "scales");
    const out = device.matrix(rows, this.codes.cols, "f32", "decoded weight");
    const size = 4 * rows;
    try {
      await submitOnce(device, (program) => {
        program.copy({ ...this.scales, offset: 4 * start, size }, { ...scales, size });
        dequantize(program, { codes: rowsOf(this.codes, start, rows), scales, out });
      });
      return await device.readMatrix(out);
    } finally {
      device.free(scales, out);
    }
  }

  /** Frees its buffers. */
  free(): void {
    this.#device.free(this.codes, this.scales);
  }
}
