/**
 * A decoder block, forward and backward beside each other.
 *
 * ```
 * x ─ norm ─ qkv ─ rope ─ attention ─ o ─(+ x)─ postAttention
 * postAttention ─ norm ─ gate,up ─ swiglu ─ down ─(+ postAttention)─ next x
 * ```
 *
 * That is LLaMA's. Its plan says whether a norm stands before or behind a branch or not at all
 * (`branch.ts`), and what the gate's activation is.
 *
 * There is one forward, for training, evaluation, logits and generation. They differ in what
 * queries attend to (`attend`), and in how many rows linear layers take at a time.
 *
 * What stands between qkv and attention is in `attention_inputs.ts`: rope, and norms of queries and
 * keys.
 *
 * The forward keeps x, qkv (after rope, or before norms of q and k), the attention's output and
 * log-sum-exp, postAttention, gate,up, and the outputs of o and down where a norm follows. Norms and
 * SwiGLU are computed again where a linear layer needs its input for its own gradient; FALQON's only
 * where A is trained. Where a layer multiplies in low precision, norm and SwiGLU write its input in
 * that at once, and in f32 only if something reads it. What is widest is f16 where layers can write
 * or read that: see `activation_types.ts`.
 *
 * Where a layer rotates its input before rounding it (`rotation`), the kernel that writes its codes
 * does that. The gradient of the input comes out rotated, and what takes it up rotates it back.
 *
 * @module
 */

import { asVector, type Matrix, rowsOf } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { attentionBackward, attentionForward } from "../kernels/attention/attention.ts";
import type { QuantizedGradient } from "../kernels/rows/quantize.ts";
import { rotate } from "../kernels/rows/rotation.ts";
import { scale } from "../kernels/rows/scale.ts";
import { swiglu, swigluBackward } from "../kernels/rows/swiglu.ts";
import type { DenseWeight, Linear } from "../layers/method.ts";
import type { ActivationName, Activations } from "./activations.ts";
import {
  anglesOf,
  attentionInputGradients,
  attentionInputs,
  attentionInputsAgain,
  type QkNorm,
  type QkvColumns,
  qkvColumns,
} from "./attention_inputs.ts";
import {
  type BranchEnd,
  branchGradient,
  branchInput,
  branchInputAgain,
  type BranchStart,
  joinGradients,
  joinStream,
} from "./branch.ts";
import { inputAgain } from "./input_again.ts";
import type { LinearInput, Norm } from "./norm.ts";
import type { LayerPlan } from "./plan.ts";
import type { Rotation } from "./rope_buffers.ts";
import { documentsIn, type TokenBuffers } from "./token_buffers.ts";
import { type TokenBranch, tokenBranchBackward, tokenBranchForward } from "./token_inputs.ts";

/** The layers of a block. */
export interface Block {
  plan: LayerPlan;
  norms: Readonly<Record<keyof LayerPlan["norms"], Norm | null>>;
  qkv: Linear;
  /** The norms of queries and keys, where the plan has them. */
  qkNorm: QkNorm | null;
  /** How queries and keys are turned; null where they are not. */
  rotation: Rotation | null;
  o: Linear;
  gateUp: Linear;
  down: Linear;
  /** The third branch, where there is one. */
  token: TokenBranch | null;
  /** f32 [1]: factor of the block's output, where the plan has one. */
  outputScale: DenseWeight | null;
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

/** What attention reads, rotated, and where its output goes. */
export interface AttentionIo extends QkvColumns {
  output: Matrix;
  logSumExp: Matrix;
}

/** Records what the queries of block `layer` attend to. */
export type Attend = (pass: Pass, layer: number, io: AttentionIo) => void;

/** To the tokens of the pass itself, each to those before it in its document. */
export const attendToPass: Attend = ({ program, tokens }, _layer, io) => {
  attentionForward(program, { ...io, documents: documentsIn(tokens, io.window) });
};

/** Records block `layer`: from activation `input` of the layer to that of the next. */
export function blockForward(pass: Pass, block: Block, layer: number, attend: Attend): void {
  forwardToGateUp(pass, block, layer, attend);
  forwardFromGateUp(pass, block, layer);
}

/** Records the part of a block whose results the backward needs. */
function forwardToGateUp(pass: Pass, block: Block, layer: number, attend: Attend): void {
  const { program } = pass;
  inGroups(pass, layer, ({ get, inputOf }) => {
    const { attention } = branchStarts(block, get);
    const qkv = branchInput(program, attention, () => inputOf(block.qkv, "normed"), null);
    block.qkv.forward(program, { ...qkv, output: get("qkv") });
  });
  const get = activationsOf(pass, layer);
  const qkv = attentionInputs(pass, block, layer);
  attend(pass, layer, { ...qkv, output: get("attended"), logSumExp: get("logSumExp") });
  inGroups(pass, layer, ({ get, inputOf }) => {
    const codes = joinStream(program, branchEnds(block, get).attention, {
      input: get("attended"),
      codes: null,
    }, {
      stream: get("input"),
      sum: get("postAttention"),
      next: block.norms.mlpIn ? null : block.gateUp,
    });
    const { mlp } = branchStarts(block, get);
    const gateUp = branchInput(program, mlp, () => inputOf(block.gateUp, "normed"), codes);
    block.gateUp.forward(program, { ...gateUp, output: get("gateUp") });
  });
}

/** Records the rest of a block. */
function forwardFromGateUp(pass: Pass, block: Block, layer: number): void {
  const { program } = pass;
  const { activation } = block.plan.mlp;
  inGroups(pass, layer, ({ get, inputOf }) => {
    const down = inputOf(block.down, "hidden");
    const [gateUp, stream] = [get("gateUp"), get("postAttention")];
    swiglu(program, { gateUp, activation, output: down.input, quantized: down.codes });
    const output = get("input", layer + 1);
    const sum = block.token ? get("postMlp") : output;
    joinStream(program, branchEnds(block, get).mlp, down, { stream, sum, next: null });
    if (block.token) tokenBranchForward(program, block.token, { get, inputOf, sum: output });
    scaleOutput(program, block, output);
  });
}

/** Records the factor of a block's output; that of its gradient is the same. */
function scaleOutput(program: Program, { outputScale }: Block, values: Matrix): void {
  if (outputScale) scale(program, { values, factor: asVector(outputScale.value()) });
}

/** Gives an activation: of this layer, or of another one. */
type GetActivation = (name: ActivationName, ofLayer?: number) => Matrix;

function branchStarts({ norms, qkv, gateUp }: Block, get: GetActivation) {
  return {
    attention: { stream: get("input"), norm: norms.attentionIn, linear: qkv },
    mlp: { stream: get("postAttention"), norm: norms.mlpIn, linear: gateUp },
  } satisfies Record<string, BranchStart>;
}

function branchEnds({ norms, o, down }: Block, get: GetActivation) {
  return {
    attention: { linear: o, norm: norms.attentionOut, output: () => get("attentionBranch") },
    mlp: { linear: down, norm: norms.mlpOut, output: () => get("mlpBranch") },
  } satisfies Record<string, BranchEnd>;
}

/** Some rows of a pass. */
interface RowGroup {
  /** Their part of it. */
  get: GetActivation;
  /**
   * The forms in which a linear layer wants its input, of which activation `name` is the f32 one.
   */
  inputOf(linear: Linear, name: "normed" | "hidden" | "tokenHidden"): LinearInput;
}

/** Records what is around linear layers, `linearRows` rows at a time. */
function inGroups(pass: Pass, layer: number, record: (group: RowGroup) => void): void {
  const { activations, rows, linearRows } = pass;
  for (let first = 0; first < rows; first += linearRows) {
    const count = Math.min(linearRows, rows - first);
    const get = (name: ActivationName, ofLayer = layer) =>
      rowsOf(activations.get(name, rows, ofLayer), first, count);
    const inputOf: RowGroup["inputOf"] = (linear, name) => ({
      input: linear.forwardReadsF32 ? get(name) : null,
      codes: linear.inputCodes(count),
    });
    record({ get, inputOf });
  }
}

/** The linear layer whose output a block adds to the stream as it is, if there is one. */
export function gradientTaker(block: Block | undefined): Linear | null {
  return block && !block.norms.mlpOut && !block.token && !block.outputScale ? block.down : null;
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
  /** The layer below, which may want this gradient quantised: `gradientTaker` of the block below. */
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
  const { activation } = block.plan.mlp;
  const get = activationsOf(pass, layer);
  if (pass.activations.mode.checkpointing) {
    forwardToGateUp(pass, block, layer, attendToPass);
    if (block.norms.mlpOut || block.token) forwardFromGateUp(pass, block, layer);
  }
  const [starts, ends] = [branchStarts(block, get), branchEnds(block, get)];

  scaleOutput(program, block, get("dResidual"));
  if (block.token) tokenBranchBackward(pass, block.token);
  const dDown = branchGradient(pass, ends.mlp, outputCodes);
  const down = inputAgain(block.down, pass.rows, () => get("hidden"), ({ input, codes }) => {
    swiglu(program, { gateUp: get("gateUp"), activation, output: input, quantized: codes });
  });
  block.down.backward(program, { ...dDown, ...down, dInput: get("dHidden") });
  const gateUp = branchInputAgain(pass, starts.mlp);
  const codes = block.gateUp.gradientCodes(pass.rows);
  swigluBackward(program, {
    gateUp: get("gateUp"),
    activation,
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
  const joined = joinGradients(pass, starts.mlp, block.norms.attentionOut ? null : block.o);

  const dO = branchGradient(pass, ends.attention, joined);
  block.o.backward(program, { ...dO, input: get("attended"), dInput: get("dAttended") });
  rotate(program, { input: get("dAttended"), block: block.o.rotation });
  const gradient = qkvColumns(block, get("dQkv"));
  attentionBackward(program, {
    ...attentionInputsAgain(pass, block, layer),
    documents: documentsIn(tokens, gradient.window),
    output: get("attended"),
    logSumExp: get("logSumExp"),
    dOutput: get("dAttended"),
    rotation: anglesOf(block, tokens) ?? undefined,
    dQ: gradient.q,
    dK: gradient.k,
    dV: gradient.v,
  });
  const dProjected = attentionInputGradients(pass, block, layer);
  const qkv = branchInputAgain(pass, starts.attention);
  block.qkv.backward(program, {
    dOutput: dProjected,
    codes: null,
    ...qkv,
    dInput: needsInputGradient ? get("dNormed") : null,
  });
  return needsInputGradient ? joinGradients(pass, starts.attention, below) : null;
}

function activationsOf({ activations, rows }: Pass, layer: number): GetActivation {
  return (name, ofLayer = layer) => activations.get(name, rows, ofLayer);
}
