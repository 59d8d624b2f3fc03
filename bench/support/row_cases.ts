/**
 * The row kernels, as a step of a block runs them, each with its check.
 *
 * @module
 */

import { ELEMENT_BYTES, firstOf, type Matrix, type Vector } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Program } from "../../src/gpu/program.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import { quantize, type QuantizedGradient } from "../../src/kernels/rows/quantize.ts";
import { randomNormal } from "../../src/kernels/rows/random.ts";
import {
  rmsNorm,
  rmsNormBackward,
  type RmsNormBackwardOptions,
} from "../../src/kernels/rows/rms_norm.ts";
import type { RowVariant } from "../../src/kernels/shapes.ts";
import { rotate } from "../../src/kernels/rows/rotation.ts";
import { swiglu, swigluBackward } from "../../src/kernels/rows/swiglu.ts";
import { rotateValues, rotationBlock } from "../../src/numerics/hadamard.ts";
import * as norms from "../../tests/oracle/norm.ts";
import * as gates from "../../tests/oracle/swiglu.ts";
import { checkCodes, checkRows, type CodeType, readRow, type RowErrors } from "./row_checks.ts";

/** A step's size. */
export interface RowShape {
  /** Tokens. */
  rows: number;
  /** Width of the residual stream. */
  cols: number;
  /** Width of the feed-forward network. */
  ffn: number;
}

/** A kernel to measure. */
export interface RowCase {
  name: string;
  /** Bytes that must move: inputs once, results once. */
  bytes: number;
  /** An elementwise kernel: it has no variants that share rows differently. */
  elementwise?: true;
  /** The largest relative error that passes, where results are not f32. */
  tolerance?: number;
  record(program: Program, variant?: RowVariant): void;
  /** Compares the last run's results with the CPU's, on some rows. */
  check(): Promise<RowErrors>;
}

const EPS = 1e-5;

/** Operands of a block's size and the kernels that work on them. */
export class RowCases implements Disposable {
  readonly #stream: Matrix;
  readonly #gradient: Matrix;
  readonly #sum: Matrix;
  readonly #dHidden: Matrix;
  readonly #gateUp: Matrix;
  readonly #gateUpF16: Matrix;
  readonly #dGateUp: Matrix;
  readonly #dGateUpF16: Matrix;
  /** f32 results as wide as the network's inner width, in the memory of `#dGateUp`. */
  readonly #hidden: Matrix;
  /** Room for rotated values of either width. */
  readonly #rotated: Matrix;
  readonly #weight: Vector;
  readonly #rstd: Vector;
  readonly #scales: Vector;
  readonly #columnScales: Vector;
  readonly #codes = new Map<string, Matrix>();

  constructor(readonly device: Device, readonly shape: RowShape) {
    const { rows, cols, ffn } = shape;
    const matrix = (width: number, label: string) => device.matrix(rows, width, "f32", label);
    this.#stream = matrix(cols, "residual stream");
    this.#gradient = matrix(cols, "gradient of the normed stream");
    this.#sum = matrix(cols, "results as wide as the stream");
    this.#dHidden = matrix(ffn, "gradient of the hidden values");
    const { pitch } = this.#dHidden;
    const f16Matrix = (label: string) => device.matrix(rows, 2 * pitch, "f16", label);
    this.#gateUp = matrix(2 * pitch, "gate and up");
    this.#gateUpF16 = f16Matrix("gate and up in f16");
    this.#dGateUp = matrix(2 * pitch, "gradient of gate and up");
    this.#dGateUpF16 = f16Matrix("gradient of gate and up in f16");
    this.#hidden = { ...this.#dGateUp, cols: ffn, pitch, size: 4 * rows * pitch };
    this.#rotated = matrix(Math.max(cols, ffn), "rotated values");
    this.#weight = device.vector(cols, "f32", "weight of the norm");
    this.#rstd = device.vector(rows, "f32", "norm statistics");
    this.#scales = device.vector(rows, "f32", "scales");
    this.#columnScales = device.vector(2 * pitch, "f32", "column scales");
  }

  /** Fills the inputs with normal numbers. */
  async fill(): Promise<void> {
    const { device } = this;
    const weight = Float32Array.from({ length: this.shape.cols }, (_, i) => 0.5 + i % 7 / 4);
    device.write(this.#weight, weight);
    // Powers of two: dividing by them is exact on every GPU.
    const divisors = Float32Array.from({ length: this.#gateUp.cols }, (_, i) => 2 ** (i % 5 - 2));
    device.write(this.#columnScales, divisors);
    await this.#run((program) => {
      const inputs = [
        this.#stream,
        this.#gradient,
        this.#dHidden,
        this.#gateUp,
        this.#gateUpF16,
      ];
      inputs.forEach((out, low) =>
        randomNormal(program, { key: { low, high: 0 }, mean: 0, deviation: 1, out })
      );
      this.#norm(program, this.#sum);
    });
  }

  /** Every row kernel. */
  list(): RowCase[] {
    const types = ["e4m3", "e5m2", "f16"] as const;
    return [
      ...types.flatMap((type) => [this.#quantize(type, false), this.#quantize(type, true)]),
      this.#normOnly(),
      this.#normQuantized("e4m3"),
      this.#normQuantized("f16"),
      this.#normBackward(false),
      this.#normBackward(true),
      this.#normBackwardQuantized("e5m2", false),
      this.#swigluOnly(),
      this.#swigluQuantized("e4m3", this.#gateUp),
      this.#swigluQuantized("e4m3", this.#gateUpF16),
      this.#swigluQuantized("f16", this.#gateUp),
      this.#swigluBackwardOnly(),
      this.#swigluBackwardQuantized("e5m2", true, this.#gateUp),
      this.#swigluBackwardQuantized("e5m2", true, this.#gateUpF16),
      this.#swigluBackwardQuantized("f16", false, this.#gateUp),
      this.#swigluBackwardScaled("e5m2", false),
      this.#rotate(),
      ...[false, true].flatMap((rotated) => [
        this.#quantize("int8", false, rotated),
        this.#normQuantized("int8", rotated),
        this.#swigluQuantized("int8", this.#gateUpF16, rotated),
        this.#normBackwardQuantized("int8", rotated),
        this.#swigluBackwardScaled("int8", rotated),
      ]),
    ];
  }

  [Symbol.dispose](): void {
    const { device } = this;
    device.free(this.#stream, this.#gradient, this.#sum, this.#dHidden, this.#gateUp);
    device.free(this.#gateUpF16, this.#dGateUp, this.#dGateUpF16, this.#rotated);
    device.free(this.#weight, this.#rstd, this.#scales, this.#columnScales);
    device.free(...this.#codes.values());
  }

  #rotate(): RowCase {
    const { rows, cols } = this.shape;
    const block = rotationBlock(cols);
    const output = this.#rotatedLike(this.#stream);
    return {
      name: `rotate by ${block}`,
      bytes: rows * cols * 8,
      elementwise: true,
      record: (program) => rotate(program, { input: this.#stream, output, block }),
      check: () =>
        checkRows(this.device, output, async (row) => {
          const values = Float32Array.from(await readRow(this.device, this.#stream, row));
          return Float64Array.from(rotateValues(values, block));
        }),
    };
  }

  #quantize(type: CodeType, divided: boolean, rotated = false): RowCase {
    const { rows, cols } = this.shape;
    const target = this.#target(type, this.#stream, divided, rotated);
    return {
      name: `quantize ${type}${divided ? ", column scales" : ""}${rotated ? ", rotated" : ""}`,
      bytes: rows * cols * (4 + ELEMENT_BYTES[type]),
      record: (program, variant) =>
        quantize(program, { input: this.#stream, ...target, granularity: "row", variant }),
      check: () => this.#checkCodes(target, this.#stream),
    };
  }

  #normOnly(): RowCase {
    const { rows, cols } = this.shape;
    return {
      name: "norm",
      bytes: rows * cols * 8,
      record: (program, variant) => this.#norm(program, this.#sum, variant),
      check: () =>
        checkRows(this.device, this.#sum, async (row) => {
          return norms.rmsNorm(
            await readRow(this.device, this.#stream, row),
            await this.#weights(),
            EPS,
          );
        }),
    };
  }

  #normQuantized(type: CodeType, rotated = false): RowCase {
    const { rows, cols } = this.shape;
    const quantized = this.#target(type, this.#stream, false, rotated);
    return {
      name: `norm + quantize ${type}${rotated ? ", rotated" : ""}`,
      bytes: rows * cols * (4 + ELEMENT_BYTES[type]),
      record: (program, variant) =>
        rmsNorm(program, {
          input: this.#stream,
          weight: this.#weight,
          eps: EPS,
          output: null,
          quantized,
          rstd: this.#rstd,
          variant,
        }),
      check: async () => {
        await this.#run((program) => this.#norm(program, this.#sum));
        return this.#checkCodes(quantized, this.#sum);
      },
    };
  }

  #normBackward(accumulate: boolean): RowCase {
    const { rows, cols } = this.shape;
    const record = (program: Program, variant?: RowVariant) =>
      this.#normGradient(program, { accumulate, variant });
    return {
      name: `norm backward${accumulate ? ", accumulate" : ""}`,
      bytes: rows * cols * (accumulate ? 16 : 12),
      record,
      check: async () => {
        await this.#run((program) => {
          program.clear(this.#sum);
          record(program);
        });
        return this.#normError();
      },
    };
  }

  #normBackwardQuantized(type: CodeType, rotated: boolean): RowCase {
    const { rows, cols } = this.shape;
    const quantized = this.#target(type, this.#sum, true);
    const rotation = rotated ? rotationBlock(cols) : 1;
    return {
      name: `norm backward${
        rotated ? " of rotated" : ""
      }, accumulate + quantize ${type}, column scales`,
      bytes: rows * cols * 17,
      record: (program, variant) =>
        this.#normGradient(program, { rotation, accumulate: true, quantized, variant }),
      check: async () => {
        const codes = await checkCodes(this.device, quantized, this.#sum);
        await this.#run((program) => this.#normGradient(program, { rotation }));
        return { ...codes, ...await this.#normError(rotation) };
      },
    };
  }

  /** Compares a norm's gradient, whose output's gradient was rotated, with the CPU's. */
  #normError(rotation = 1): Promise<RowErrors> {
    return checkRows(this.device, this.#sum, async (row) => {
      const dy = Float32Array.from(await readRow(this.device, this.#gradient, row));
      const back = Float64Array.from(rotateValues(dy, rotation));
      const x = await readRow(this.device, this.#stream, row);
      return norms.rmsNormBackward(back, x, await this.#weights(), EPS).dx;
    });
  }

  #normGradient(
    program: Program,
    how: Pick<RmsNormBackwardOptions, "rotation" | "accumulate" | "quantized" | "variant">,
  ): void {
    rmsNormBackward(program, {
      dOutput: this.#gradient,
      input: this.#stream,
      weight: this.#weight,
      rstd: this.#rstd,
      dInput: this.#sum,
      ...how,
    });
  }

  #swigluOnly(): RowCase {
    const { rows, ffn } = this.shape;
    return {
      name: "swiglu",
      bytes: rows * ffn * 12,
      elementwise: true,
      record: (program) => swiglu(program, { gateUp: this.#gateUp, output: this.#hidden }),
      check: () =>
        checkRows(
          this.device,
          this.#hidden,
          async (row) => gates.swiglu(...await this.#gates(this.#gateUp, row)),
        ),
    };
  }

  #swigluQuantized(type: CodeType, gateUp: Matrix, rotated = false): RowCase {
    const { rows, ffn } = this.shape;
    const quantized = this.#target(type, this.#dHidden, false, rotated);
    return {
      name: `swiglu of ${gateUp.type} + quantize ${type}${rotated ? ", rotated" : ""}`,
      bytes: rows * ffn * (2 * ELEMENT_BYTES[gateUp.type] + ELEMENT_BYTES[type]),
      record: (program, variant) => swiglu(program, { gateUp, output: null, quantized, variant }),
      check: async () => {
        await this.#run((program) => swiglu(program, { gateUp, output: this.#hidden }));
        return this.#checkCodes(quantized, this.#hidden);
      },
    };
  }

  #swigluBackwardOnly(): RowCase {
    const { rows, ffn } = this.shape;
    const operands = { gateUp: this.#gateUp, dOutput: this.#dHidden, dGateUp: this.#dGateUp };
    return {
      name: "swiglu backward",
      bytes: rows * ffn * 20,
      elementwise: true,
      record: (program) => swigluBackward(program, operands),
      check: () => this.#gradientError(this.#gateUp),
    };
  }

  #swigluBackwardQuantized(type: CodeType, divided: boolean, gateUp: Matrix): RowCase {
    const { rows, ffn } = this.shape;
    const operands = { gateUp, dOutput: this.#dHidden, dGateUp: this.#dGateUp };
    const quantized = this.#target(type, this.#dGateUp, divided);
    return {
      name: `swiglu backward of ${gateUp.type} + quantize ${type}${
        divided ? ", column scales" : ""
      }`,
      bytes: rows * ffn * (12 + 2 * ELEMENT_BYTES[gateUp.type] + 2 * ELEMENT_BYTES[type]),
      record: (program, variant) => swigluBackward(program, { ...operands, quantized, variant }),
      check: async () => ({
        ...await this.#gradientError(gateUp),
        ...await checkCodes(this.device, quantized, this.#dGateUp),
      }),
    };
  }

  /**
   * All in low precision, as in a step on tensor cores: the codes are made from the f16 gradient.
   */
  #swigluBackwardScaled(type: CodeType, rotated: boolean): RowCase {
    const { device, shape: { rows, ffn } } = this;
    const rotation = rotated ? rotationBlock(ffn) : 1;
    const dOutput = this.#dHidden;
    const dGateUp = this.#dGateUpF16;
    const gateUp = this.#gateUpF16;
    const quantized = this.#target(type, this.#dGateUp, true);
    return {
      name: `swiglu backward of f16${rotated ? " and rotated" : ""} + quantize ${type}, ` +
        "column scales, scaled f16",
      bytes: rows * ffn * (4 + 2 * 2 * ELEMENT_BYTES.f16 + 2 * ELEMENT_BYTES[type]),
      tolerance: 2 ** -11,
      record: (program, variant) =>
        swigluBackward(program, { gateUp, dOutput, rotation, dGateUp, quantized, variant }),
      check: async () => {
        const back = this.#rotatedLike(dOutput);
        await this.#run((program) => {
          rotate(program, { input: dOutput, output: back, block: rotation });
          swigluBackward(program, { gateUp, dOutput: back, dGateUp: this.#dGateUp });
        });
        const scales = new Float32Array(await device.read(this.#scales));
        const divisors = new Float32Array(await device.read(this.#columnScales));
        return {
          ...await checkRows(device, dGateUp, async (row) => {
            const gradient = await this.#gradientOf(gateUp, row, back);
            return gradient.map((v, i) => v / divisors[i] * scales[row]);
          }),
          ...await checkCodes(device, quantized, this.#dGateUp),
        };
      },
    };
  }

  #gradientError(gateUp: Matrix): Promise<RowErrors> {
    return checkRows(this.device, this.#dGateUp, (row) => this.#gradientOf(gateUp, row));
  }

  /** The gradients of gate and up of a row, in f64. */
  async #gradientOf(gateUp: Matrix, row: number, dHidden = this.#dHidden): Promise<Float64Array> {
    const dy = await readRow(this.device, dHidden, row);
    const { dGate, dUp } = gates.swigluBackward(dy, ...await this.#gates(gateUp, row));
    const both = new Float64Array(this.#dGateUp.cols);
    both.set(dGate);
    both.set(dUp, this.#dHidden.pitch);
    return both;
  }

  #norm(program: Program, output: Matrix, variant?: RowVariant): void {
    const { cols } = this.shape;
    rmsNorm(program, {
      input: this.#stream,
      weight: firstOf(this.#weight, cols),
      eps: EPS,
      output,
      rstd: this.#rstd,
      variant,
    });
  }

  /** Memory for the codes of a matrix, allocated once per type and width. */
  #target(
    type: CodeType,
    { rows, cols }: Matrix,
    divided: boolean,
    rotated = false,
  ): QuantizedGradient {
    const key = `${type} codes ${cols} wide`;
    const codes = this.#codes.get(key) ?? this.device.matrix(rows, cols, type, key);
    this.#codes.set(key, codes);
    const columnScales = divided ? firstOf(this.#columnScales, cols) : undefined;
    const rotation = rotated ? rotationBlock(cols) : 1;
    return { codes, scales: this.#scales, columnScales, rotation };
  }

  /** Room for the values of a matrix, rotated. */
  #rotatedLike({ rows, cols, pitch }: Matrix): Matrix {
    return { ...this.#rotated, rows, cols, pitch, size: 4 * rows * pitch };
  }

  /** Compares codes, perhaps rotated, with the CPU's for the same values. */
  async #checkCodes(quantized: QuantizedGradient, values: Matrix): Promise<RowErrors> {
    const { rotation: block = 1 } = quantized;
    const output = this.#rotatedLike(values);
    await this.#run((program) => rotate(program, { input: values, output, block }));
    return checkCodes(this.device, quantized, output);
  }

  /** Gate and up of a row. */
  async #gates(gateUp: Matrix, row: number): Promise<[Float64Array, Float64Array]> {
    const both = await readRow(this.device, gateUp, row);
    const { cols, pitch } = this.#dHidden;
    return [both.slice(0, cols), both.slice(pitch, pitch + cols)];
  }

  async #weights(): Promise<Float64Array> {
    const values = new Float32Array(await this.device.read(this.#weight));
    return Float64Array.from(values.subarray(0, this.shape.cols));
  }

  async #run(record: (program: Program) => void): Promise<void> {
    await submitOnce(this.device, record);
    await this.device.finish();
  }
}
