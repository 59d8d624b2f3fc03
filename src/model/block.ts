/**
 * A decoder block, forward and backward beside each other.
 *
 * ```
 * x ─ norm ─ qkv ─ rope ─ attention ─ o ─(+ x)─ postAttention
 * postAttention ─ norm ─ gate,up ─ swiglu ─ down ─(+ postAttention)─ next x
 * ```
 *
 * That is LLaMA's. Its plan says whether a norm stands before or behind a branch or not at all
 * (`branch.ts`), what the gate's activation is, and whether attention mixes the tokens or a delta net
 * (`mixer.ts`).
 *
 * There is one forward, for training, evaluation, logits and generation. They differ in what
 * queries attend to (`attend`), and in how many rows linear layers take at a time.
 *
 * What stands between qkv and attention is in `attention_inputs.ts`: rope, and norms of queries and
 * keys.
 *
 * The forward keeps x, qkv (after rope, or before norms of q and k), the attention's output and
 * log-sum-exp (of a delta net, what it reads and gives), postAttention, gate,up, and the outputs of o
 * and down where a norm follows. Norms and SwiGLU are computed again where a linear layer needs its
 * input for its own gradient; FALQON's only where A is trained. Where a layer multiplies in low
 * precision, norm and SwiGLU write its input in that at once, and in f32 only if something reads it.
 * What is widest is f16 where layers can write or read that: see `activation_types.ts`.
 *
 * Where a layer rotates its input before rounding it (`rotation`), the kernel that writes its codes
 * does that. The gradient of the input comes out rotated, and what takes it up rotates it back.
 *
 * @module
 */

import { asVector, type Matrix, rowsOf } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import type { QuantizedGradient } from "../kernels/rows/quantize.ts";
import { scale } from "../kernels/rows/scale.ts";
import { swiglu, swigluBackward } from "../kernels/rows/swiglu.ts";
import type { DenseWeight, Linear } from "../layers/method.ts";
import type { ActivationName } from "./activation_plan.ts";
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
import {
  type Attend,
  attendToPass,
  mixBackward,
  type Mixer,
  mixerInput,
  mixForward,
  type Pass,
} from "./mixer.ts";
import type { LayerPlan } from "./plan.ts";
import { type TokenBranch, tokenBranchBackward, tokenBranchForward } from "./token_inputs.ts";

/** The layers of a block. */
export interface Block extends Mixer {
  norms: Readonly<Record<keyof LayerPlan["norms"], Norm | null>>;
  gateUp: Linear;
  down: Linear;
  /** The third branch, where there is one. */
  token: TokenBranch | null;
  /** f32 [1]: factor of the block's output, where the plan has one. */
  outputScale: DenseWeight | null;
}

/** Records block `layer`: from activation `input` of the layer to that of the next. */
export function blockForward(pass: Pass, block: Block, layer: number, attend: Attend): void {
  forwardToGateUp(pass, block, layer, attend);
  forwardFromGateUp(pass, block, layer);
}

/** Records the part of a block whose results the backward needs. */
function forwardToGateUp(pass: Pass, block: Block, layer: number, attend: Attend): void {
  const { program, training } = pass;
  inGroups(pass, layer, ({ get, inputOf }) => {
    const { attention } = branchStarts(block, get);
    const qkv = branchInput(program, attention, () => inputOf(block.qkv, "normed"), null);
    const output = get(mixerInput(block.plan));
    block.qkv.forward(program, { ...qkv, output, training });
  });
  const mixed = mixForward(pass, block, layer, attend);
  inGroups(pass, layer, ({ get, inputOf, rowsIn }) => {
    const codes = joinStream(program, branchEnds(block, get).attention, {
      input: rowsIn(mixed),
      codes: null,
    }, {
      training,
      stream: get("input"),
      sum: get("postAttention"),
      next: block.norms.mlpIn ? null : block.gateUp,
    });
    const { mlp } = branchStarts(block, get);
    const gateUp = branchInput(program, mlp, () => inputOf(block.gateUp, "normed"), codes);
    block.gateUp.forward(program, { ...gateUp, output: get("gateUp"), training });
  });
}

/** Records the rest of a block. */
function forwardFromGateUp(pass: Pass, block: Block, layer: number): void {
  const { program, training } = pass;
  const { activation } = block.plan.mlp;
  inGroups(pass, layer, ({ get, inputOf }) => {
    const down = inputOf(block.down, "hidden");
    const [gateUp, stream] = [get("gateUp"), get("postAttention")];
    swiglu(program, { gateUp, activation, output: down.input, quantized: down.codes });
    const output = get("input", layer + 1);
    const sum = block.token ? get("postMlp") : output;
    joinStream(program, branchEnds(block, get).mlp, down, { training, stream, sum, next: null });
    if (block.token) {
      tokenBranchForward(program, block.token, { get, inputOf, sum: output, training });
    }
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
  /** Their part of a matrix of all rows. */
  rowsIn(matrix: Matrix): Matrix;
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
    const rowsIn = (matrix: Matrix) => rowsOf(matrix, first, count);
    const get = (name: ActivationName, ofLayer = layer) =>
      rowsIn(activations.get(name, rows, ofLayer));
    const inputOf: RowGroup["inputOf"] = (linear, name) => ({
      input: linear.forwardReadsF32 ? get(name) : null,
      codes: linear.inputCodes(count),
    });
    record({ get, rowsIn, inputOf });
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
  const { program } = pass;
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
  const dProjected = mixBackward(pass, block, layer, dO);
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
