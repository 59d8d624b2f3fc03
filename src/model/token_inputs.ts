/**
 * Per-layer embeddings: what every block reads of the tokens besides the stream, and the third branch of a
 * block, which takes it in; forward beside backward.
 *
 * ```
 * inputs = scale · (scale' · table[ids] + norm(projection(embedding)))
 * stream ─ gate ─ activation · input of the block ─ projection ─ norm ─(+ stream)─ next stream
 * ```
 *
 * The inputs of all blocks are made at once and kept: a block has its columns of them. They are kept
 * without the factor of the sum, which each block multiplies by as it copies them beside its gate: gate
 * and input are what SwiGLU takes for gate and up.
 *
 * @module
 */

import { asVector, columnsOf, type Matrix, pitchOf, rowsOf } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { qkNorm } from "../kernels/attention/qk_norm.ts";
import { qkNormBackward, qkNormWeightGradient } from "../kernels/attention/qk_norm_backward.ts";
import { copyColumns } from "../kernels/rows/columns.ts";
import { rotate } from "../kernels/rows/rotation.ts";
import { swiglu, swigluBackward } from "../kernels/rows/swiglu.ts";
import type { DenseTable, DenseWeight, Linear } from "../layers/method.ts";
import type { LinearSpec } from "../layers/linear_spec.ts";
import type { ActivationName } from "./activation_plan.ts";
import { singleSpec } from "./block_specs.ts";
import {
  type BranchEnd,
  branchGradient,
  type BranchPass,
  joinGradients,
  joinStream,
} from "./branch.ts";
import { inputAgain } from "./input_again.ts";
import type { LinearInput, Norm } from "./norm.ts";
import type { MlpPlan, ModelPlan, TokenInputsPlan } from "./plan.ts";
import { lookUp, lookUpBackward } from "./table_rows.ts";
import type { TokenBuffers } from "./token_buffers.ts";

/** What makes the inputs of all blocks. */
export interface TokenInputs {
  plan: TokenInputsPlan;
  /** Blocks. */
  count: number;
  table: DenseTable;
  projection: Linear;
  /** The weight of the norm, [width]. */
  norm: DenseWeight;
}

/** Describes the projection of a model's inputs; null for a model without. */
export function tokenInputsSpec(
  { tokenInputs, hiddenSize, layers }: ModelPlan,
): LinearSpec | null {
  if (!tokenInputs) return null;
  const { projection: { tensor, scale }, width } = tokenInputs;
  const spec = singleSpec("token_inputs", tensor, hiddenSize, layers.length * width);
  return { ...spec, outputFactor: scale };
}

/** Makes what makes the inputs, with the projection that {@linkcode tokenInputsSpec} describes. */
export function makeTokenInputs(
  { tokenInputs: plan, layers }: ModelPlan,
  projection: Linear,
  { table: makeTable, dense }: {
    table: (name: string, rows: number, cols: number) => DenseTable;
    dense: (name: string, cols: number) => DenseWeight;
  },
): TokenInputs {
  const { table, norm, width } = plan!;
  const count = layers.length;
  return {
    plan: plan!,
    count,
    table: makeTable(table.tensor, table.vocabSize, count * width),
    projection,
    norm: dense(norm.tensor, width),
  };
}

/** A pass with its tokens, and the most rows that linear layers take at a time. */
interface TokenPass extends BranchPass {
  tokens: TokenBuffers;
  linearRows: number;
  /** Whether it is one of training. Default false. */
  training?: boolean;
}

/** The norms of the parts of a row: each block's is a head of queries, without keys. */
function normed({ count, plan, norm }: TokenInputs, matrix: Matrix) {
  const none = columnsOf(matrix, 0, 0);
  const heads = { heads: count, kvHeads: 0, headDim: plan.width };
  const qWeight = asVector(norm.value());
  const q = columnsOf(matrix, 0, count * plan.width);
  return { q, k: none, v: none, over: "head", ...heads, qWeight } as const;
}

/** Records the inputs of all blocks from the embedding, activation `input` of the first one. */
export function recordTokenInputs(pass: TokenPass, inputs: TokenInputs): void {
  const { program, activations, rows, linearRows, training, tokens: { ids } } = pass;
  const { plan: { table, norm: { eps } }, projection } = inputs;
  const get = (name: ActivationName) => activations.get(name, rows);
  const [projected, output, tableRows] = [
    get("projectedInputs"),
    get("tokenInputs"),
    get("tableRows"),
  ];
  for (let first = 0; first < rows; first += linearRows) {
    const part = (matrix: Matrix) => rowsOf(matrix, first, Math.min(linearRows, rows - first));
    const io = { input: part(get("input")), codes: null, output: part(projected) };
    projection.forward(program, { ...io, training });
  }
  const rstd = activations.mode.training ? get("tokenRstd") : null;
  qkNorm(program, { ...normed(inputs, projected), eps, rotation: null, output, rstd });
  lookUp(program, { ids, table: inputs.table, output: tableRows, scale: table.scale });
  rotate(program, { input: tableRows, output, accumulate: true, block: 1 });
}

/**
 * Records the gradients of what makes the inputs, from those of the inputs that the blocks have left.
 *
 * @param needsInputGradient Whether activation `dResidual`, then the gradient of the embedding, is to
 * have this one as well.
 */
export function recordTokenInputGradients(
  pass: TokenPass,
  inputs: TokenInputs,
  needsInputGradient: boolean,
): void {
  const { program, activations, rows, tokens: { ids } } = pass;
  const { plan, count, table, projection, norm } = inputs;
  const dInputs = activations.get("dTokenInputs", rows);
  const dOutput = { ...dInputs, cols: count * plan.width };
  lookUpBackward(program, { ids, table, dOutput, scale: plan.table.scale });
  const io = {
    ...normed(inputs, activations.get("projectedInputs", rows)),
    rstd: activations.get("tokenRstd", rows),
    dQkv: dInputs,
  };
  if (norm.gradient) {
    qkNormWeightGradient(program, { ...io, dQWeight: asVector(norm.gradient()) });
  }
  qkNormBackward(program, io);
  const dEmbedding = activations.get("dNormed", rows);
  projection.backward(program, {
    dOutput: dInputs,
    codes: null,
    input: activations.get("input", rows),
    dInput: needsInputGradient ? dEmbedding : null,
  });
  if (!needsInputGradient) return;
  const output = activations.get("dResidual", rows);
  rotate(program, { input: dEmbedding, output, accumulate: true, block: projection.rotation });
}

/** The branch of a block that takes in its input. */
export interface TokenBranch {
  /** Of the block. */
  layer: number;
  /** Components of an input. */
  width: number;
  /** Factor of the inputs as they are kept. */
  scale: number;
  activation: MlpPlan["activation"];
  gate: Linear;
  projection: Linear;
  norm: Norm;
}

/** Gives an activation of the block, or of another one. */
type GetActivation = (name: ActivationName, ofLayer?: number) => Matrix;

/** Records the branch, from activation `postMlp` on. */
export function tokenBranchForward(
  program: Program,
  branch: TokenBranch,
  { get, inputOf, sum, training }: {
    get: GetActivation;
    inputOf: (linear: Linear, name: "tokenHidden") => LinearInput;
    /** Receives the stream behind the branch. */
    sum: Matrix;
    /** Whether the pass is one of training. */
    training?: boolean;
  },
): void {
  const { gate, projection, activation } = branch;
  const stream = get("postMlp");
  gate.forward(program, { input: stream, codes: null, output: get("tokenGate"), training });
  fillGateUp(program, branch, get);
  const hidden = inputOf(projection, "tokenHidden");
  const gateUp = get("tokenGateUp");
  swiglu(program, { gateUp, activation, output: hidden.input, quantized: hidden.codes });
  joinStream(program, branchEnd(branch, get), hidden, { training, stream, sum, next: null });
}

/**
 * Records the gradients of the branch: of the input in its columns of `dTokenInputs`; that of the stream
 * is added to `dResidual`.
 */
export function tokenBranchBackward(pass: BranchPass, branch: TokenBranch): void {
  const { program, activations, rows } = pass;
  const { layer, width, scale, gate, projection, activation } = branch;
  const get: GetActivation = (name, ofLayer = layer) => activations.get(name, rows, ofLayer);
  const [gateUp, dGateUp, dGate] = [get("tokenGateUp"), get("dTokenGateUp"), get("dTokenGate")];
  const dProjection = branchGradient(pass, branchEnd(branch, get), null);
  fillGateUp(program, branch, get);
  const hidden = inputAgain(projection, rows, () => get("tokenHidden"), ({ input, codes }) => {
    swiglu(program, { gateUp, activation, output: input, quantized: codes });
  });
  const dOutput = get("dTokenHidden");
  projection.backward(program, { ...dProjection, ...hidden, dInput: dOutput });
  const { rotation } = projection;
  swigluBackward(program, { gateUp, activation, dOutput, rotation, dGateUp });
  copyColumns(program, { from: columnsOf(dGateUp, 0, width), to: columnsOf(dGate, 0, width) });
  copyColumns(program, {
    from: columnsOf(dGateUp, pitchOf(width), width),
    to: columnsOf(get("dTokenInputs", 0), layer * width, width),
    factor: scale,
  });
  const stream = get("postMlp");
  gate.backward(program, { dOutput: dGate, codes: null, input: stream, dInput: get("dNormed") });
  joinGradients(pass, { stream, norm: null, linear: gate }, null);
}

function branchEnd({ projection, norm }: TokenBranch, get: GetActivation): BranchEnd {
  return { linear: projection, norm, output: () => get("tokenBranch") };
}

/** Records bringing the gate and the input of the block beside each other. */
function fillGateUp(program: Program, branch: TokenBranch, get: GetActivation): void {
  const { layer, width, scale } = branch;
  const gateUp = get("tokenGateUp");
  const gate = columnsOf(get("tokenGate"), 0, width);
  copyColumns(program, { from: gate, to: columnsOf(gateUp, 0, width) });
  copyColumns(program, {
    from: columnsOf(get("tokenInputs", 0), layer * width, width),
    to: columnsOf(gateUp, pitchOf(width), width),
    factor: scale,
  });
}
