/**
 * A decoder block, forward and backward beside each other.
 *
 * ```
 * x ─ norm ─ qkv ─ rope ─ attention ─ o ─(+ x)─ mid ─ norm ─ gate,up ─ swiglu ─ down ─(+ mid)─ next x
 * ```
 *
 * The forward keeps x, qkv (rotated), the attention's output and log-sum-exp, mid and gate,up. Norms and SwiGLU are
 * computed again where a linear layer needs its input for its own gradient; FALQON's do not. Where a layer multiplies
 * in few bits, norm and SwiGLU write its input in these at once, and in f32 only if something reads that. What is widest,
 * gate,up and its gradient, is f16 where its layer can write or read that (`preferredOutputType`, `preferredGradientType`).
 *
 * @module
 */

import { columnsOf, firstOf, type Matrix, type Vector } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { attentionBackward, attentionForward } from "../kernels/attention/attention.ts";
import type { Quantized, QuantizedGradient } from "../kernels/rows/quantize.ts";
import {
  rmsNorm,
  rmsNormBackward,
  type RmsNormBackwardOptions,
  rmsNormWeightGradient,
} from "../kernels/rows/rms_norm.ts";
import { rope } from "../kernels/attention/rope.ts";
import { swiglu, swigluBackward } from "../kernels/rows/swiglu.ts";
import type { DenseWeight, Linear } from "../layers/method.ts";
import type { Activations, ActivationTypes } from "./activations.ts";
import type { ModelConfig } from "./config.ts";
import type { TokenBuffers } from "./token_buffers.ts";

/** The layers of a block. */
export interface Block {
  attentionNorm: Norm;
  qkv: Linear;
  o: Linear;
  mlpNorm: Norm;
  gateUp: Linear;
  down: Linear;
}

/** An RMSNorm: its weight, and what its forward leaves for its backward. */
export interface Norm {
  weight: DenseWeight;
  /** Room for f32 [tokens]: 1 / root mean square of each row. */
  rstd: () => Vector;
}

/** What all blocks of a pass share. */
export interface Pass {
  program: Program;
  config: ModelConfig;
  activations: Activations;
  tokens: TokenBuffers;
  /** From `uploadRopeFrequencies`. */
  ropeFrequencies: Vector;
  /** Rows of this pass. */
  rows: number;
}

/** Records block `layer`: from activation `input` of the layer to that of the next. */
export function blockForward(pass: Pass, block: Block, layer: number): void {
  const { program } = pass;
  const get = activationsOf(pass, layer);
  forwardToGateUp(pass, block, layer);
  const down = inputOf(block.down, pass.activations, "hidden", pass.rows);
  swiglu(program, { gateUp: get("gateUp"), output: down.input, quantized: down.codes });
  block.down.forward(program, {
    ...down,
    output: pass.activations.get("input", pass.rows, layer + 1),
    addend: get("mid"),
  });
}

/** Records the part of a block whose results the backward needs. */
function forwardToGateUp(pass: Pass, block: Block, layer: number): void {
  const { program, tokens } = pass;
  const get = activationsOf(pass, layer);
  const qkv = inputOf(block.qkv, pass.activations, "normed", pass.rows);
  normForward(pass, block.attentionNorm, get("input"), qkv);
  block.qkv.forward(program, { ...qkv, output: get("qkv") });
  rotate(pass, get("qkv"), block);
  attentionForward(program, {
    ...heads(pass, block, get("qkv")),
    documents: tokens.documents,
    output: get("attended"),
    logSumExp: get("logSumExp"),
  });
  block.o.forward(program, {
    input: get("attended"),
    codes: null,
    output: get("mid"),
    addend: get("input"),
  });
  const gateUp = inputOf(block.gateUp, pass.activations, "normed", pass.rows);
  normForward(pass, block.mlpNorm, get("mid"), gateUp);
  block.gateUp.forward(program, { ...gateUp, output: get("gateUp") });
}

/** What a producer writes and a linear layer reads: f32, few bits, or both. */
export interface LinearInput {
  /** f32 [rows, inFeatures] */
  input: Matrix | null;
  /** The same in few bits. */
  codes: Quantized | null;
}

/** The forms in which a linear layer wants its input from the producer, of which activation `name` is the f32 one. */
export function inputOf(
  linear: Linear,
  activations: Activations,
  name: "normed" | "hidden",
  rows: number,
): LinearInput {
  return {
    input: linear.forwardReadsF32 ? activations.get(name, rows) : null,
    codes: linear.inputCodes(rows),
  };
}

/** The f32 input of a linear layer that reads it in its backward pass. */
function inputAgain(linear: Linear, pass: Pass, name: "normed" | "hidden"): Matrix | null {
  return linear.backwardReadsInput ? pass.activations.get(name, pass.rows) : null;
}

/** The types of activations that all of the blocks do with. */
export function activationTypes(blocks: readonly Block[]): ActivationTypes {
  const reads = (linear: Linear) => linear.forwardReadsF32 || linear.backwardReadsInput;
  const halves = (test: (block: Block) => boolean) => blocks.every(test) ? "f16" : "f32";
  return {
    normed: blocks.some(({ qkv, gateUp }) => reads(qkv) || reads(gateUp)) ? "f32" : null,
    hidden: blocks.some(({ down }) => reads(down)) ? "f32" : null,
    gateUp: halves(({ gateUp }) => gateUp.preferredOutputType === "f16"),
    dGateUp: halves(({ gateUp }) => gateUp.preferredGradientType === "f16"),
  };
}

/** What the backward of a block is told. */
export interface BlockBackward {
  /** The gradient of the block's output in few bits, where its producer wrote it: `gradientCodes` of `down`. */
  codes: QuantizedGradient | null;
  /** Whether the gradient of the block's input is wanted. */
  needsInputGradient: boolean;
  /** The layer that this gradient is the output's of, which may want it in few bits: `down` of the block below. */
  below: Linear | null;
}

/**
 * Records the gradients of block `layer`. Activation `dResidual` holds the gradient of the block's output before and that
 * of its input after.
 *
 * @returns the gradient of the input in few bits, as `below` wants it.
 */
export function blockBackward(
  pass: Pass,
  block: Block,
  layer: number,
  { codes: outputCodes, needsInputGradient, below }: BlockBackward,
): QuantizedGradient | null {
  const { program, tokens } = pass;
  const get = activationsOf(pass, layer);
  if (pass.activations.mode.checkpointing) forwardToGateUp(pass, block, layer);

  const dResidual = get("dResidual");
  const hidden = inputAgain(block.down, pass, "hidden");
  if (hidden) swiglu(program, { gateUp: get("gateUp"), output: hidden });
  block.down.backward(program, {
    dOutput: dResidual,
    codes: outputCodes,
    input: hidden,
    dInput: get("dHidden"),
  });
  const gateUpInput = inputAgain(block.gateUp, pass, "normed");
  if (gateUpInput) normForward(pass, block.mlpNorm, get("mid"), { input: gateUpInput });
  const codes = block.gateUp.gradientCodes(pass.rows);
  swigluBackward(program, {
    gateUp: get("gateUp"),
    dOutput: get("dHidden"),
    dGateUp: get("dGateUp"),
    quantized: codes,
  });
  block.gateUp.backward(program, {
    dOutput: get("dGateUp"),
    codes,
    input: gateUpInput,
    dInput: get("dNormed"),
  });
  const midCodes = block.o.gradientCodes(pass.rows);
  normBackward(pass, block.mlpNorm, get("mid"), midCodes);

  block.o.backward(program, {
    dOutput: dResidual,
    codes: midCodes,
    input: get("attended"),
    dInput: get("dAttended"),
  });
  const { positions, documents } = tokens;
  const gradient = heads(pass, block, get("dQkv"));
  attentionBackward(program, {
    ...heads(pass, block, get("qkv")),
    documents,
    output: get("attended"),
    logSumExp: get("logSumExp"),
    dOutput: get("dAttended"),
    rotation: { positions, frequencies: pass.ropeFrequencies },
    dQ: gradient.q,
    dK: gradient.k,
    dV: gradient.v,
  });
  const qkvInput = inputAgain(block.qkv, pass, "normed");
  if (qkvInput) normForward(pass, block.attentionNorm, get("input"), { input: qkvInput });
  block.qkv.backward(program, {
    dOutput: get("dQkv"),
    codes: null,
    input: qkvInput,
    dInput: needsInputGradient ? get("dNormed") : null,
  });
  if (!needsInputGradient) return null;
  const inputCodes = below?.gradientCodes(pass.rows) ?? null;
  normBackward(pass, block.attentionNorm, get("input"), inputCodes);
  return inputCodes;
}

/** Records the norm of `input`, which is the input of what follows, keeping the row statistics for the backward. */
export function normForward(
  pass: Pass,
  norm: Norm,
  input: Matrix,
  next: Partial<LinearInput>,
): void {
  rmsNorm(pass.program, {
    input,
    weight: weightOf(norm, input.cols),
    eps: pass.config.rmsNormEps,
    output: next.input ?? null,
    quantized: next.codes,
    rstd: firstRows(norm, pass.rows),
  });
}

/** Records the gradient of a norm from `dNormed`, added to `dResidual`, of which the codes are then. */
function normBackward(
  pass: Pass,
  norm: Norm,
  input: Matrix,
  quantized: QuantizedGradient | null,
): void {
  const dOutput = pass.activations.get("dNormed", pass.rows);
  const dInput = pass.activations.get("dResidual", pass.rows);
  normGradients(pass, norm, { input, dOutput, dInput, accumulate: true, quantized });
}

/** Records the gradients of a norm: of its weight, where that is trained, and of its input. */
export function normGradients(
  pass: Pass,
  norm: Norm,
  io: Pick<RmsNormBackwardOptions, "input" | "dOutput" | "dInput" | "accumulate" | "quantized">,
): void {
  const { input, dOutput } = io;
  const rstd = firstRows(norm, pass.rows);
  if (norm.weight.gradient) {
    const dWeight = asVector(norm.weight.gradient(), input.cols);
    rmsNormWeightGradient(pass.program, { dOutput, input, rstd, dWeight });
  }
  rmsNormBackward(pass.program, { ...io, weight: weightOf(norm, input.cols), rstd });
}

function activationsOf({ activations, rows }: Pass, layer: number) {
  return (name: Parameters<Activations["get"]>[0]) => activations.get(name, rows, layer);
}

/** The columns of q, k and v in a merged matrix. */
function heads({ config }: Pass, block: Block, merged: Matrix) {
  const [q, k, v] = block.qkv.spec.parts.map(({ start, rows }) => columnsOf(merged, start, rows));
  const { numHeads, numKeyValueHeads: kvHeads, headDim } = config;
  return { q, k, v, heads: numHeads, kvHeads, headDim };
}

function rotate(pass: Pass, merged: Matrix, block: Block): void {
  const { k, heads: count, kvHeads, headDim } = heads(pass, block, merged);
  rope(pass.program, {
    qkv: merged,
    keyColumn: k.column,
    heads: count,
    kvHeads,
    headDim,
    positions: pass.tokens.positions,
    frequencies: pass.ropeFrequencies,
  });
}

function weightOf({ weight }: Norm, cols: number): Vector {
  return asVector(weight.value(), cols);
}

function asVector(matrix: Matrix, length: number): Vector {
  return { buffer: matrix.buffer, offset: matrix.offset, size: matrix.size, length, type: "f32" };
}

function firstRows({ rstd }: Norm, rows: number): Vector {
  return firstOf(rstd(), rows);
}
