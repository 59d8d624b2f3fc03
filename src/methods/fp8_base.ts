import { type Matrix, rowsOf, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { Program } from "../gpu/program.ts";
import { gemm } from "../kernels/gemm.ts";
import { dequantize, quantize } from "../kernels/quantize.ts";
import type { LinearPart, LinearSpec } from "../model/linear_spec.ts";
import type { StoredFp8, WeightSource } from "../model/weight_source.ts";
import type { BaseWeight } from "./base_weight.ts";
import type { Operand } from "./operand.ts";
import { loadMatrix, weightName } from "./upload.ts";

/** A weight in e4m3 with a scale a row, as FALQON's. */
export class Fp8Base implements BaseWeight {
  /** e4m3 [width, inFeatures] */
  readonly #codes: Matrix;
  readonly rowScales: Vector;
  readonly #device: Device;
  readonly #spec: LinearSpec;

  constructor(device: Device, spec: LinearSpec) {
    this.#device = device;
    this.#spec = spec;
    this.#codes = device.matrix(spec.width, spec.inFeatures, "e4m3", `${spec.name} FP8 weight`);
    this.rowScales = device.vector(spec.width, "f32", `${spec.name} scales`);
    device.write(this.rowScales, new Float32Array(spec.width).fill(1)); // also of rows between parts
  }

  async load(source: WeightSource): Promise<void> {
    for (const part of this.#spec.parts) {
      const shape = [part.rows, this.#spec.inFeatures] as const;
      const stored = await source.fp8(weightName(part), shape);
      if (stored) this.#write(part, stored);
      else await this.#quantize(part, source);
    }
  }

  /** Takes codes as they are in the file; its scales multiply on the way out, ours on the way in. */
  #write(part: LinearPart, { codes, valueScales }: StoredFp8): void {
    const { cols, pitch } = this.#codes;
    const padded = new Uint8Array(part.rows * pitch);
    for (let r = 0; r < part.rows; r++) {
      padded.set(codes.subarray(r * cols, (r + 1) * cols), r * pitch);
    }
    this.#device.write(this.#codes, padded, part.start * pitch);
    this.#device.write(this.rowScales, valueScales.map((scale) => 1 / scale), 4 * part.start);
  }

  async #quantize(part: LinearPart, source: WeightSource): Promise<void> {
    const device = this.#device;
    const { start, rows } = part;
    const input = device.matrix(rows, this.#spec.inFeatures, "f32", "weight to quantise");
    const scales = device.vector(rows, "f32", "scales");
    try {
      await loadMatrix(device, weightName(part), rows, source, input);
      using program = new Program(device);
      const codes = rowsOf(this.#codes, start, rows);
      quantize(program, { input, codes, scales, granularity: "row" });
      const size = 4 * rows;
      program.copy({ ...scales, size }, { ...this.rowScales, offset: 4 * start, size });
      (await program.prepare()).run();
    } finally {
      device.free(input, scales);
    }
  }

  forward(program: Program, x: Operand, output: Matrix, addend?: Matrix): void {
    gemm(program, {
      layout: "nt",
      a: x.matrix,
      b: this.#codes,
      out: output,
      rowScales: x.scales,
      columnScales: this.rowScales,
      addend,
    });
  }

  backward(program: Program, g: Operand, dInput: Matrix): void {
    gemm(program, {
      layout: "nn",
      a: g.matrix,
      b: this.#codes,
      out: dInput,
      rowScales: g.scales,
    });
  }

  async readPart(index: number): Promise<Float32Array<ArrayBuffer>> {
    const device = this.#device;
    const { start, rows } = this.#spec.parts[index];
    const scales = device.vector(rows, "f32", "scales");
    const out = device.matrix(rows, this.#spec.inFeatures, "f32", "decoded weight");
    try {
      using program = new Program(device);
      const size = 4 * rows;
      program.copy({ ...this.rowScales, offset: 4 * start, size }, { ...scales, size });
      dequantize(program, { codes: rowsOf(this.#codes, start, rows), scales, out });
      (await program.prepare()).run();
      return await device.readMatrix(out);
    } finally {
      device.free(scales, out);
    }
  }

  free(): void {
    this.#device.free(this.#codes, this.rowScales);
  }
}
