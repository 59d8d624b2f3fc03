/**
 * The lm_head and the loss, some rows at a time: the logits of a whole step never exist at once.
 *
 * A frozen head in f16 multiplies rows that are rounded to f16 too, so that its GEMMs run in half
 * precision. It does so wherever logits are made: in training, evaluation and generation.
 *
 * Of a weight in slabs each one makes its own columns of the logits, and its own gradient; what the rows
 * receive is their sum. The factor of the logits is one of the products; their soft cap is applied by what
 * reads them: the loss, or `recordLogits` where they are wanted themselves.
 *
 * @module
 */

import {
  asVector,
  columnsOf,
  ELEMENT_BYTES,
  type Matrix,
  pitchOf,
  rowsOf,
  type Vector,
} from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import { crossEntropyLoss } from "../kernels/rows/cross_entropy.ts";
import { gemm } from "../kernels/gemm/gemm.ts";
import { PackedOperandCache } from "../kernels/gemm/pack.ts";
import { quantize, type Quantized } from "../kernels/rows/quantize.ts";
import { softCap } from "../kernels/rows/soft_cap.ts";
import { isTrained } from "../layers/dense_table.ts";
import type { DenseTable } from "../layers/method.ts";
import type { HeadPlan } from "./plan.ts";

/**
 * Bytes of logits that exist at a time, where a binding holds so many: enough rows for tiles of all cores
 * of a large GPU, and 256 rows of a vocabulary of 262,144. In half precision the codes of their gradient
 * take half of it again.
 */
const LOGITS_BYTES = 1 << 28;

/** Rows of a chunk are a multiple of the first that they reach: whole tiles, or aligned bindings. */
const CHUNK_STEPS = [64, 8];

/** What the losses of a step are computed from, and where they go. */
export interface HeadLosses {
  /** f32 [tokens, hiddenSize]: the rows behind the final norm. */
  final: Matrix;
  /** i32 [tokens]: token ids, negative where there is no target. */
  targets: Vector;
  /** f32 [tokens]: receives −log p of each target, 0 where there is none. */
  rowLoss: Vector;
}

/** The rows that a training step makes logits of, and where their gradient goes. */
export interface HeadTraining {
  /** f32 [tokens, hiddenSize]: the rows behind the final norm. */
  final: Matrix;
  /** f32 [tokens, hiddenSize]: receives the gradient of `final`. */
  dFinal: Matrix;
}

/** Some rows' logits, as a loss meets them. */
export interface LogitsChunk {
  /** f32 [rows, vocabSize]. */
  logits: Matrix;
  /** The token that row 0 belongs to. */
  firstRow: number;
  /**
   * Where the gradient of the logits goes, f16 with a scale per row; without it the gradient
   * replaces the logits.
   */
  quantized?: Quantized;
  /** c where logits are yet to become c · tanh(logit / c): the gradient is that of those given. */
  softCap: number | null;
}

/** The lm_head of a network. */
export class LmHead {
  readonly #device: Device;
  readonly #weight: DenseTable;
  readonly #plan: Pick<HeadPlan, "scale" | "softCap">;
  #logits: Matrix | null = null;

  /** @param weight [vocabSize, hiddenSize]; the embedding where that is tied. */
  constructor(
    device: Device,
    weight: DenseTable,
    plan: Pick<HeadPlan, "scale" | "softCap"> = { scale: 1, softCap: null },
  ) {
    this.#device = device;
    this.#weight = weight;
    this.#plan = plan;
  }

  /** Rows of a step that it works on at a time. */
  get chunkRows(): number {
    const { rows: vocabSize } = this.#weight;
    const wanted = Math.max(64, Math.floor(LOGITS_BYTES / (vocabSize * ELEMENT_BYTES.f32)));
    const rowBytes = pitchOf(vocabSize) * ELEMENT_BYTES.f32;
    const rows = Math.min(wanted, Math.floor(this.#device.bindingLimit / rowBytes));
    const step = CHUNK_STEPS.find((step) => rows >= step) ?? 8;
    return Math.max(step, Math.floor(rows / step) * step);
  }

  /** f32 [chunkRows or fewer, vocabSize]: the logits that were written last. */
  get logits(): Matrix {
    if (!this.#logits) throw new TypeError("The head is used before reserve()");
    return this.#logits;
  }

  /** Reserves memory for the logits of steps of up to `tokens` tokens. */
  reserve(tokens: number): void {
    const rows = Math.min(this.chunkRows, tokens);
    const { rows: vocabSize } = this.#weight;
    this.#logits = this.#device.matrix(rows, vocabSize, "f32", "logits of a chunk", "model");
  }

  /** Frees that memory. */
  release(): void {
    this.#device.free(this.#logits);
    this.#logits = null;
  }

  /**
   * Records the logits of rows behind the final norm, which it returns.
   *
   * @param logits Where they go. Default: the head's own memory, which holds those of `chunkRows`
   * rows.
   */
  recordLogits(
    program: Program,
    final: Matrix,
    logits: Matrix = rowsOf(this.logits, 0, final.rows),
  ): Matrix {
    this.#recordProduct(program, final, logits);
    const { softCap: cap } = this.#plan;
    if (cap !== null) softCap(program, { values: logits, cap });
    return logits;
  }

  /**
   * Records the logits before their cap.
   *
   * @param packed The slabs of the weight, where several chunks multiply by them.
   */
  #recordProduct(
    program: Program,
    final: Matrix,
    logits: Matrix,
    packed?: readonly PackedOperandCache[],
  ): void {
    const quantized = this.#isLowPrecision ? quantizedRows(program, final, "final") : undefined;
    if (quantized) quantize(program, { input: final, ...quantized, granularity: "row" });
    for (const [i, { value, firstRow, rows }] of this.#weight.slabs.entries()) {
      gemm(program, {
        layout: "nt",
        a: quantized?.codes ?? final,
        rowScales: quantized?.scales,
        b: value(),
        packedCache: packed?.[i],
        alpha: this.#plan.scale,
        out: columnsOf(logits, firstRow, rows),
      });
    }
  }

  /** Records the loss of every token. */
  recordLosses(program: Program, { final, targets, rowLoss }: HeadLosses): void {
    const packed = this.#packedSlabs("packed head");
    this.#chunks(program, final.rows, (firstRow, count) => {
      const logits = rowsOf(this.logits, 0, count);
      this.#recordProduct(program, rowsOf(final, firstRow, count), logits, packed);
      const { softCap } = this.#plan;
      crossEntropyLoss(program, { logits, targets, rowLoss, firstRow, softCap });
    });
  }

  /**
   * Walks over the rows: records the logits of a chunk, leaves it to the loss to turn them into
   * their gradient, and records what follows from that: the gradient of `final`, and that of the
   * weight, added to its.
   *
   * @param recordGradient Records the gradient of a chunk's logits.
   */
  recordTraining(
    program: Program,
    { final, dFinal }: HeadTraining,
    recordGradient: (chunk: LogitsChunk) => void,
  ): void {
    const { scale: alpha, softCap } = this.#plan;
    const forward = this.#packedSlabs("packed head");
    const backward = this.#packedSlabs("packed head for gradients");
    this.#chunks(program, final.rows, (firstRow, count) => {
      const rows = rowsOf(final, firstRow, count);
      const logits = rowsOf(this.logits, 0, count);
      this.#recordProduct(program, rows, logits, forward);
      const quantized = this.#isLowPrecision
        ? quantizedRows(program, logits, "logits' gradient")
        : undefined;
      recordGradient({ logits, firstRow, quantized, softCap });
      for (const [i, slab] of this.#weight.slabs.entries()) {
        gemm(program, {
          layout: "nn",
          a: columnsOf(quantized?.codes ?? logits, slab.firstRow, slab.rows),
          rowScales: quantized?.scales,
          b: slab.value(),
          packedCache: backward[i],
          alpha,
          out: rowsOf(dFinal, firstRow, count),
          accumulate: i > 0,
        });
      }
      for (const { gradient, firstRow: column, rows: width } of this.#weight.slabs) {
        if (!gradient) continue;
        const a = columnsOf(logits, column, width);
        gemm(program, { layout: "tn", a, b: rows, alpha, out: gradient(), accumulate: true });
      }
    });
  }

  /** Whether GEMMs with the weight may be in half precision. */
  get #isLowPrecision(): boolean {
    return this.#weight.slabs[0].value().type === "f16" && !isTrained(this.#weight);
  }

  /** Memory for the slabs of the weight, packed. */
  #packedSlabs(label: string): PackedOperandCache[] {
    return this.#weight.slabs.map((_, i) =>
      new PackedOperandCache(i === 0 ? label : `${label}, slab ${i + 1}`)
    );
  }

  #chunks(program: Program, rows: number, visit: (first: number, count: number) => void): void {
    const step = this.chunkRows;
    const whole = Math.floor(rows / step);
    program.repeat(whole, (chunk) => visit(chunk * step, step));
    if (rows > whole * step) visit(whole * step, rows - whole * step);
  }
}

/** Memory for a matrix's rows in f16, with one scale per row. */
function quantizedRows(program: Program, { rows, cols }: Matrix, what: string): Quantized {
  return {
    codes: program.scratch(rows, cols, `codes of ${what}`, "f16", "model"),
    scales: asVector(program.scratch(1, rows, `scales of ${what}`, "f32", "model")),
  };
}
