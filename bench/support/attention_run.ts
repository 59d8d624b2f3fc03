/**
 * Attention of a step, to be measured: documents of one length, the last of which is checked.
 *
 * @module
 */

import type { BufferView, ColumnBlock, Matrix, Vector } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Program } from "../../src/gpu/program.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import { attentionBackward, attentionForward } from "../../src/kernels/attention/attention.ts";
import type { AttentionHeads } from "../../src/kernels/attention/shapes.ts";
import { randomNormal } from "../../src/kernels/rows/random.ts";
import { uploadRopeFrequencies } from "../../src/kernels/attention/rope_angles.ts";
import * as reference from "../../tests/oracle/attention.ts";
import { takeColumns } from "../../tests/oracle/columns.ts";
import { relativeError } from "../../tests/oracle/compare.ts";
import { normalValues } from "../../tests/oracle/random.ts";
import { attentionRotation } from "../../tests/oracle/rope.ts";
import { documentBounds } from "../../tests/oracle/token_stream.ts";

/** What is in the batch. */
export interface AttentionRunShape extends AttentionHeads {
  documents: number;
  /** Tokens per document. */
  length: number;
  /** Standard deviation of the output's gradient. Default 1. */
  gradientScale?: number;
  /** Element type of q, k and v. Default f32. */
  qkvType?: "f32" | "f16";
}

/** Operands of attention with q, k and v beside each other, as a block has them. */
export class AttentionRun implements Disposable {
  readonly #qkv: Matrix;
  readonly #dOutput: Matrix;
  readonly #output: Matrix;
  readonly #logSumExp: Matrix;
  readonly #gradients: Matrix;
  readonly #documents: BufferView;
  readonly #angles: { positions: Vector; frequencies: Vector };

  private constructor(readonly device: Device, readonly shape: AttentionRunShape) {
    const { documents, length, heads, headDim, qkvType = "f32" } = shape;
    const tokens = documents * length;
    const { q, width } = columnsOfHeads(shape);
    const matrix = (cols: number, label: string) => device.matrix(tokens, cols, "f32", label);
    this.#qkv = device.matrix(tokens, width, qkvType, "qkv");
    this.#gradients = matrix(width, "gradients");
    this.#output = matrix(q.cols, "output");
    this.#dOutput = matrix(q.cols, "dOutput");
    this.#logSumExp = matrix(heads, "logSumExp");
    this.#documents = device.allocate(8 * tokens, "documents");
    const bounds = documentBounds(new Array(documents).fill(length));
    device.write(this.#documents, bounds);
    const { positions, inverseFrequencies } = attentionRotation(bounds, headDim);
    this.#angles = {
      positions: device.vector(tokens, "u32", "positions"),
      frequencies: uploadRopeFrequencies(device, inverseFrequencies),
    };
    device.write(this.#angles.positions, positions);
  }

  /** Makes the operands and fills them with normal numbers. */
  static async open(device: Device, shape: AttentionRunShape): Promise<AttentionRun> {
    const run = new AttentionRun(device, shape);
    await submitOnce(device, (program) => {
      for (const operand of ["qkv", "dOutput"] as const) {
        const { key, deviation } = run.#numbers(operand);
        const out = operand === "qkv" ? run.#qkv : run.#dOutput;
        randomNormal(program, { key, mean: 0, deviation, out });
      }
    });
    return run;
  }

  /** Records the forward pass. */
  forward(program: Program, record: typeof attentionForward = attentionForward): void {
    record(program, this.#inputs);
  }

  /**
   * Records the backward pass, down to the gradients of q and k before the rotation; after a
   * forward pass.
   */
  backward(program: Program, record: typeof attentionBackward = attentionBackward): void {
    const { q: dQ, k: dK, v: dV } = this.#blocks(this.#gradients);
    const rotation = this.#angles;
    record(program, { ...this.#inputs, dOutput: this.#dOutput, rotation, dQ, dK, dV });
  }

  /**
   * The relative error of the last run against f64: in the last document, for the last key head and
   * its query heads.
   */
  async errors(): Promise<Record<"output" | "logSumExp" | "dQ" | "dK" | "dV", number>> {
    const { device, shape: { heads, kvHeads, headDim, length, qkvType } } = this;
    const group = Math.ceil(heads / kvHeads);
    const { q, k, v, width } = columnsOfHeads(this.shape);
    const queries = { column: (heads - group) * headDim, cols: group * headDim };
    const last = ({ column, cols }: Columns) => ({
      column: column + cols - headDim,
      cols: headDim,
    });
    const all = [queries, last(k), last(v)];
    const take = (values: Float32Array, cols: number, block: Columns) =>
      takeColumns(values.subarray(values.length - length * cols), cols, block);

    const one = {
      numHeads: group,
      numKeyValueHeads: 1,
      headDim,
      documentStart: new Uint32Array(length),
    };
    const normal = this.#lastDocument("qkv", width);
    const given = qkvType === "f16" ? Float32Array.from(Float16Array.from(normal)) : normal;
    const [q64, k64, v64] = all.map((block) => take(given, width, block));
    const want = reference.attention(q64, k64, v64, one);
    const dOut = take(this.#lastDocument("dOutput", q.cols), q.cols, queries);
    const rotation = attentionRotation(documentBounds([length]), headDim);
    const { dq, dk, dv } = reference.attentionBackward(dOut, q64, k64, v64, want, one, rotation);

    const output = await device.readMatrix(this.#output);
    const logSumExp = await device.readMatrix(this.#logSumExp);
    const gradients = await device.readMatrix(this.#gradients);
    const [dQ, dK, dV] = all.map((block) => take(gradients, width, block));
    const statistics = { column: heads - group, cols: group };
    return {
      output: relativeError(take(output, q.cols, queries), want.out),
      logSumExp: relativeError(take(logSumExp, heads, statistics), want.logSumExp),
      dQ: relativeError(dQ, dq),
      dK: relativeError(dK, dk),
      dV: relativeError(dV, dv),
    };
  }

  [Symbol.dispose](): void {
    const { device } = this;
    device.free(this.#qkv, this.#dOutput, this.#output, this.#logSumExp, this.#gradients);
    device.free(this.#documents, ...Object.values(this.#angles));
  }

  get #inputs() {
    const { heads, kvHeads, headDim } = this.shape;
    return {
      heads,
      kvHeads,
      headDim,
      ...this.#blocks(this.#qkv),
      documents: this.#documents,
      output: this.#output,
      logSumExp: this.#logSumExp,
    };
  }

  #blocks(matrix: Matrix): Record<"q" | "k" | "v", ColumnBlock> {
    const { q, k, v } = columnsOfHeads(this.shape);
    return { q: { matrix, ...q }, k: { matrix, ...k }, v: { matrix, ...v } };
  }

  #numbers(operand: "qkv" | "dOutput") {
    const { gradientScale = 1 } = this.shape;
    return operand === "qkv"
      ? { key: { low: 1, high: 0 }, deviation: 1 }
      : { key: { low: 2, high: 0 }, deviation: gradientScale };
  }

  /** The last document's rows of an operand, [length, cols]. */
  #lastDocument(operand: "qkv" | "dOutput", cols: number): Float32Array {
    const { documents, length } = this.shape;
    const { key, deviation } = this.#numbers(operand);
    const count = length * cols;
    return normalValues(key, { mean: 0, deviation }, (documents - 1) * count, count);
  }
}

/** Columns of a matrix. */
type Columns = Omit<ColumnBlock, "matrix">;

/** Where q, k and v are. */
function columnsOfHeads({ heads, kvHeads, headDim }: AttentionHeads) {
  const [queryCols, kvCols] = [heads * headDim, kvHeads * headDim];
  const q: Columns = { column: 0, cols: queryCols };
  const k: Columns = { column: queryCols, cols: kvCols };
  const v: Columns = { column: queryCols + kvCols, cols: kvCols };
  return { q, k, v, width: queryCols + 2 * kvCols };
}
