/**
 * A frozen weight in NF4, and the workspace that the NF4 weights of a network share.
 *
 * @module
 */

import {
  type BufferView,
  ELEMENT_BYTES,
  type Matrix,
  pitchOf,
  roundUp,
  rowsOf,
} from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import {
  dequantizeNf4,
  type Nf4Weight,
  nf4Weight,
  quantizeNf4,
  uploadNf4Tables,
} from "../../kernels/rows/nf4.ts";
import { widen } from "../../kernels/rows/widen.ts";
import type { LinearPart, LinearSpec } from "../linear_spec.ts";
import type { WeightSource } from "../weight_source.ts";
import { type Added, type BaseWeight, DECODED } from "./base_weight.ts";
import type { GemmOperand } from "../operand.ts";
import { loadPart, readDense, weightName } from "../load.ts";
import { toStored } from "../row_order.ts";

/**
 * Shared by the NF4 weights of a network: tables of the codes' values, memory for one decoded
 * weight.
 */
export class Nf4Workspace {
  readonly tables: BufferView;
  readonly #device: Device;
  #bytes = 0;
  #decoded: BufferView | null = null;

  constructor(device: Device) {
    this.#device = device;
    this.tables = uploadNf4Tables(device);
  }

  /** Announces a weight that will be decoded. */
  expect({ width, inFeatures }: LinearSpec): void {
    this.#bytes = Math.max(this.#bytes, width * pitchOf(inFeatures) * ELEMENT_BYTES.f16);
  }

  /** Allocates the memory, once. */
  reserve(): void {
    this.#decoded ??= this.#device.allocate(this.#bytes, "decoded weight", "model");
  }

  /**
   * The memory as a matrix, f16 [width, inFeatures]: a GEMM reads it before the next weight is
   * decoded.
   */
  decoded({ width: rows, inFeatures: cols }: LinearSpec): Matrix {
    if (!this.#decoded) throw new TypeError("NF4 weights are used before reserve()");
    const pitch = pitchOf(cols);
    const size = rows * pitch * ELEMENT_BYTES.f16;
    return { ...this.#decoded, size, rows, cols, pitch, type: "f16" };
  }

  free(): void {
    this.#device.free(this.tables, this.#decoded);
    this.#decoded = null;
  }
}

/**
 * A weight in NF4, decoded to f16 before each GEMM. Every part of the layer is quantised
 * separately, its rows in the order of the merged weight.
 */
export class Nf4Base implements BaseWeight {
  readonly #device: Device;
  readonly #memory: Nf4Workspace;
  readonly #spec: LinearSpec;
  readonly #parts: Nf4Weight[];

  constructor(device: Device, memory: Nf4Workspace, spec: LinearSpec) {
    this.#device = device;
    this.#memory = memory;
    this.#spec = spec;
    this.#parts = spec.parts.map(({ rows, module }) =>
      nf4Weight(device, rows, spec.inFeatures, module)
    );
    memory.expect(spec);
  }

  async load(source: WeightSource): Promise<void> {
    for (const [index, part] of this.#spec.parts.entries()) {
      await this.#quantize(part, this.#parts[index], source);
    }
  }

  async #quantize(part: LinearPart, weight: Nf4Weight, source: WeightSource): Promise<void> {
    const { rows } = part;
    source.onRounded?.(weightName(part));
    const input = this.#device.matrix(
      rows,
      this.#spec.inFeatures,
      "f32",
      "weight to quantise",
      "model",
    );
    try {
      await loadPart(this.#device, part, source, input);
      await submitOnce(
        this.#device,
        (program) => quantizeNf4(program, { input, weight, tables: this.#memory.tables }),
      );
    } finally {
      this.#device.free(input);
    }
  }

  forward(program: Program, x: GemmOperand, output: Matrix, added: Added): void {
    const { matrix: a, scales: rowScales } = x;
    const { outputFactor: alpha } = this.#spec;
    const b = this.#decode(program);
    gemm(program, { layout: "nt", a, b, out: output, rowScales, alpha, ...added });
  }

  backward(program: Program, g: GemmOperand, dInput: Matrix): void {
    const { matrix: a, scales: rowScales } = g;
    const { outputFactor: alpha } = this.#spec;
    gemm(program, { layout: "nn", a, b: this.#decode(program), out: dInput, rowScales, alpha });
  }

  #decode(program: Program): Matrix {
    const decoded = this.#memory.decoded(this.#spec);
    this.#spec.parts.forEach(({ start, rows }, index) => {
      // The rows up to the next part are decoded too: they are zero.
      const out = rowsOf(decoded, start, roundUp(rows, 16));
      dequantizeNf4(program, { weight: this.#parts[index], tables: this.#memory.tables, out });
    });
    return decoded;
  }

  decodePart(program: Program, index: number): Matrix {
    const { start, rows } = this.#spec.parts[index];
    const weight = rowsOf(this.#decode(program), start, rows);
    const out = program.scratch(rows, weight.cols, DECODED, "f32", "model");
    // With its padding a matrix is as packed as a file.
    widen(program, { raw: weight, dtype: "F16", out: { ...out, cols: weight.pitch } });
    return out;
  }

  async readPart(index: number): Promise<Float32Array<ArrayBuffer>> {
    const part = this.#spec.parts[index];
    const { rows } = part;
    const decodedRows = roundUp(rows, 16);
    const out = this.#device.matrix(
      decodedRows,
      this.#spec.inFeatures,
      "f16",
      "decoded weight",
      "model",
    );
    try {
      await submitOnce(
        this.#device,
        (program) =>
          dequantizeNf4(program, { weight: this.#parts[index], tables: this.#memory.tables, out }),
      );
      return toStored(part, await readDense(this.#device, rowsOf(out, 0, rows)));
    } finally {
      this.#device.free(out);
    }
  }

  free(): void {
    for (const { codes, absmaxCodes, statistics } of this.#parts) {
      this.#device.free(codes, absmaxCodes, statistics);
    }
  }
}
