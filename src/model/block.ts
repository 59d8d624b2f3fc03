/**
 * A decoder block, forward and backward beside each other.
 *
 * ```
 * x ─ norm ─ qkv ─ rope ─ attention ─ o ─(+ x)─ postAttention
 * postAttention ─ norm ─ gate,up ─ swiglu ─ down ─(+ postAttention)─ next x
 * ```
 *
 * There is one forward, for training, evaluation, logits and generation. They differ in what
 * queries attend to (`attend`), and in how many rows linear layers take at a time.
 *
 * With norms of queries and keys, rope is part of what makes `rotated` of qkv: see `qk_norm.ts`.
 *
 * The forward keeps x, qkv (after rope, or before such norms), the attention's output and log-sum-exp, postAttention and
 * gate,up. Norms and SwiGLU are computed again where a linear layer needs its input for its own
 * gradient; FALQON's only where A is trained. Where a layer multiplies in low precision, norm and
 * SwiGLU write its input in that at once, and in f32 only if something reads it. What is widest is
 * f16 where layers can write or read that: see `activationTypes`.
 *
 * Where a layer rotates its input before rounding it (`rotation`), the kernel that writes its codes
 * does that. The gradient of the input comes out rotated, and what takes it up rotates it back.
 *
 * @module
 */

import { type ColumnBlock, columnsOf, type Matrix, rowsOf, type Vector } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { attentionBackward, attentionForward } from "../kernels/attention/attention.ts";
import { rope, rotatesF16 } from "../kernels/attention/rope.ts";
import type { AttentionHeads } from "../kernels/attention/shapes.ts";
import type { QuantizedGradient } from "../kernels/rows/quantize.ts";
import { rotate } from "../kernels/rows/rotation.ts";
import { swiglu, swigluBackward } from "../kernels/rows/swiglu.ts";
import type { Linear } from "../layers/method.ts";
import type { ActivationName, Activations, ActivationTypes } from "./activations.ts";
import { inputAgain } from "./input_again.ts";
import { type LinearInput, type Norm, normForward, normGradients } from "./norm.ts";
import type { LayerPlan } from "./plan.ts";
import { type QkNorm, qkNormForward, qkNormGradients } from "./qk_norm.ts";
import type { TokenBuffers } from "./token_buffers.ts";

/** The layers of a block. */
export interface Block {
  plan: LayerPlan;
  attentionNorm: Norm;
  qkv: Linear;
  /** The norms of queries and keys, where the plan has them. */
  qkNorm: QkNorm | null;
  /** From `uploadRopeFrequencies`. */
  frequencies: Vector;
  o: Linear;
  mlpNorm: Norm;
  gateUp: Linear;
  down: Linear;
}

/** What all blocks of a pass share. */
export interface Pass {
  program: Program;
  activations: Activations;
  tokens: TokenBuffers;
  /** Rows of this pass. */
  rows: number;
  /**
   * The most rows that linear layers take at a time: what their method keeps of a step is shared
   * with training, and must not grow for a long prompt, as that would free what a recorded training
   * step uses. A multiple of 8 if it is less than `rows`, so that groups of rows begin at 256
   * bytes. A pass with a backward has one group.
   */
  linearRows: number;
}

/** The columns of a merged matrix that are q, k and v, and what attention makes of them. */
export interface QkvColumns extends AttentionHeads {
  q: ColumnBlock;
  k: ColumnBlock;
  v: ColumnBlock;
  /** Factor of q·k. */
  scale: number;
}

/** What attention reads, rotated, and where its output goes. */
export interface AttentionIo extends QkvColumns {
  output: Matrix;
  logSumExp: Matrix;
}

/** Records what the queries of block `layer` attend to. */
export type Attend = (pass: Pass, layer: number, io: AttentionIo) => void;

/** To the tokens of the pass itself, each to those before it in its document. */
export const attendToPass: Attend = ({ program, tokens: { documents } }, _layer, io) => {
  attentionForward(program, { ...io, documents });
};

/** Records block `layer`: from activation `input` of the layer to that of the next. */
export function blockForward(pass: Pass, block: Block, layer: number, attend: Attend): void {
  const { program } = pass;
  forwardToGateUp(pass, block, layer, attend);
  inGroups(pass, layer, ({ get, inputOf }) => {
    const down = inputOf(block.down, "hidden");
    swiglu(program, { gateUp: get("gateUp"), output: down.input, quantized: down.codes });
    const output = get("input", layer + 1);
    block.down.forward(program, { ...down, output, addend: get("postAttention") });
  });
}

/** Records the part of a block whose results the backward needs. */
function forwardToGateUp(pass: Pass, block: Block, layer: number, attend: Attend): void {
  const { program } = pass;
  inGroups(pass, layer, ({ get, inputOf }) => {
    const qkv = inputOf(block.qkv, "normed");
    normForward(program, block.attentionNorm, get("input"), qkv);
    block.qkv.forward(program, { ...qkv, output: get("qkv") });
  });
  const get = activationsOf(pass, layer);
  const qkv = recordRope(pass, block, layer);
  attend(pass, layer, { ...qkv, output: get("attended"), logSumExp: get("logSumExp") });
  inGroups(pass, layer, ({ get, inputOf }) => {
    const postAttention = get("postAttention");
    block.o.forward(program, {
      input: get("attended"),
      codes: null,
      output: postAttention,
      addend: get("input"),
    });
    const gateUp = inputOf(block.gateUp, "normed");
    normForward(program, block.mlpNorm, postAttention, gateUp);
    block.gateUp.forward(program, { ...gateUp, output: get("gateUp") });
  });
}

/** Some rows of a pass. */
interface RowGroup {
  /** Their part of an activation: of this layer, or of another one. */
  get(name: ActivationName, ofLayer?: number): Matrix;
  /**
   * The forms in which a linear layer wants its input, of which activation `name` is the f32 one.
   */
  inputOf(linear: Linear, name: "normed" | "hidden"): LinearInput;
}

/** Records what is around linear layers, `linearRows` rows at a time. */
function inGroups(pass: Pass, layer: number, record: (group: RowGroup) => void): void {
  const { activations, rows, linearRows } = pass;
  for (let first = 0; first < rows; first += linearRows) {
    const count = Math.min(linearRows, rows - first);
    const get = (name: ActivationName, ofLayer = layer) =>
      rowsOf(activations.get(name, rows, ofLayer), first, count);
    const inputOf = (linear: Linear, name: "normed" | "hidden") => ({
      input: linear.forwardReadsF32 ? get(name) : null,
      codes: linear.inputCodes(count),
    });
    record({ get, inputOf });
  }
}

/** The types of activations that all of the blocks do with; `attended` is f16 to be rounded more. */
export function activationTypes(blocks: readonly Block[]): ActivationTypes {
  const reads = (linear: Linear) => linear.forwardReadsF32 || linear.backwardReadsInput;
  const typeIf = (test: (block: Block) => boolean) => blocks.every(test) ? "f16" : "f32";
  const qkv = typeIf(({ plan, qkv }) =>
    qkv.preferredOutputType === "f16" &&
    rotatesF16(plan.attention.headDim, qkv.spec.parts[1].start)
  );
  const normed = blocks.some(({ qkNorm }) => qkNorm);
  return {
    normed: blocks.some(({ qkv, gateUp }) => reads(qkv) || reads(gateUp)) ? "f32" : null,
    hidden: blocks.some(({ down }) => reads(down)) ? "f32" : null,
    qkv,
    rotated: normed ? qkv : null,
    qkRstd: normed ? "f32" : null,
    attended: typeIf(({ o }) =>
      o.preferredOutputType === "f16" && (!reads(o) || !!o.backwardTakesF16Input)
    ),
    gateUp: typeIf(({ gateUp }) => gateUp.preferredOutputType === "f16"),
    dGateUp: typeIf(({ gateUp }) => gateUp.preferredGradientType === "f16"),
  };
}

/** Options of {@linkcode blockBackward}. */
export interface BlockBackward {
  /**
   * The gradient of the block's output in low precision, where its producer wrote it:
   * `gradientCodes` of `down`.
   */
  codes: QuantizedGradient | null;
  /** Whether the gradient of the block's input is wanted. */
  needsInputGradient: boolean;
  /** The layer below, which may want this gradient quantised: `down` of the block below. */
  below: Linear | null;
}

/**
 * Records the gradients of block `layer`, whose tokens attended to their own pass. Activation
 * `dResidual` holds the gradient of the block's output before and that of its input after.
 *
 * @returns the gradient of the input quantised, as `below` wants it.
 */
export function blockBackward(
  pass: Pass,
  block: Block,
  layer: number,
  { codes: outputCodes, needsInputGradient, below }: BlockBackward,
): QuantizedGradient | null {
  const { program, tokens } = pass;
  const get = activationsOf(pass, layer);
  if (pass.activations.mode.checkpointing) forwardToGateUp(pass, block, layer, attendToPass);

  const dResidual = get("dResidual");
  const down = inputAgain(block.down, pass, "hidden", ({ input, codes }) => {
    swiglu(program, { gateUp: get("gateUp"), output: input, quantized: codes });
  });
  block.down.backward(program, {
    dOutput: dResidual,
    codes: outputCodes,
    ...down,
    dInput: get("dHidden"),
  });
  const gateUp = inputAgain(block.gateUp, pass, "normed", (again) => {
    normForward(program, block.mlpNorm, get("postAttention"), again);
  });
  const codes = block.gateUp.gradientCodes(pass.rows);
  swigluBackward(program, {
    gateUp: get("gateUp"),
    dOutput: get("dHidden"),
    rotation: block.down.rotation,
    dGateUp: get("dGateUp"),
    quantized: codes,
  });
  block.gateUp.backward(program, {
    dOutput: get("dGateUp"),
    codes,
    ...gateUp,
    dInput: get("dNormed"),
  });
  const dPostAttention = block.o.gradientCodes(pass.rows);
  normBackward(pass, block.mlpNorm, get("postAttention"), block.gateUp, dPostAttention);

  block.o.backward(program, {
    dOutput: dResidual,
    codes: dPostAttention,
    input: get("attended"),
    dInput: get("dAttended"),
  });
  rotate(program, { input: get("dAttended"), block: block.o.rotation });
  const { positions, documents } = tokens;
  const gradient = qkvColumns(block, get("dQkv"));
  // Made again where the next block's took its place.
  if (block.qkNorm && !pass.activations.mode.checkpointing) recordRope(pass, block, layer);
  attentionBackward(program, {
    ...qkvColumns(block, get(block.qkNorm ? "rotated" : "qkv")),
    documents,
    output: get("attended"),
    logSumExp: get("logSumExp"),
    dOutput: get("dAttended"),
    rotation: { positions, frequencies: block.frequencies },
    dQ: gradient.q,
    dK: gradient.k,
    dV: gradient.v,
  });
  if (block.qkNorm) {
    const raw = qkvColumns(block, get("qkv"));
    qkNormGradients(program, block.qkNorm, { ...raw, rstd: get("qkRstd"), dQkv: get("dQkv") });
  }
  const qkv = inputAgain(block.qkv, pass, "normed", (again) => {
    normForward(program, block.attentionNorm, get("input"), again);
  });
  block.qkv.backward(program, {
    dOutput: get("dQkv"),
    codes: null,
    ...qkv,
    dInput: needsInputGradient ? get("dNormed") : null,
  });
  if (!needsInputGradient) return null;
  const inputCodes = below?.gradientCodes(pass.rows) ?? null;
  normBackward(pass, block.attentionNorm, get("input"), block.qkv, inputCodes);
  return inputCodes;
}

/**
 * Records the gradient of the norm before `linear` from `dNormed`, added to `dResidual`; `quantized`
 * receives the sum.
 */
function normBackward(
  { program, activations, rows }: Pass,
  norm: Norm,
  input: Matrix,
  { rotation }: Linear,
  quantized: QuantizedGradient | null,
): void {
  const dOutput = activations.get("dNormed", rows);
  const dInput = activations.get("dResidual", rows);
  normGradients(program, norm, { input, dOutput, rotation, dInput, accumulate: true, quantized });
}

function activationsOf({ activations, rows }: Pass, layer: number) {
  return (name: ActivationName) => activations.get(name, rows, layer);
}

function qkvColumns({ plan, qkv }: Block, merged: Matrix): QkvColumns {
  const [q, k, v] = qkv.spec.parts.map(({ start, rows }) => columnsOf(merged, start, rows));
  const { heads, kvHeads, headDim, scale } = plan.attention;
  return { q, k, v, heads, kvHeads, headDim, scale };
}

/** Records what stands between qkv and attention; returns what attention reads. */
function recordRope(pass: Pass, block: Block, layer: number): QkvColumns {
  const { program, activations: { mode }, tokens: { positions } } = pass;
  const { frequencies, qkNorm } = block;
  const get = activationsOf(pass, layer);
  const qkv = qkvColumns(block, get("qkv"));
  if (qkNorm) {
    const output = get("rotated");
    const rstd = mode.training ? get("qkRstd") : null;
    const rotation = { positions, frequencies };
    qkNormForward(program, qkNorm, { ...qkv, rotation, output, rstd });
    return qkvColumns(block, output);
  }
  const { q: { matrix }, k: { column: keyColumn }, heads, kvHeads, headDim } = qkv;
  rope(program, { qkv: matrix, keyColumn, heads, kvHeads, headDim, positions, frequencies });
  return qkv;
}
