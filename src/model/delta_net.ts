/**
 * A gated delta net as the mixer of a block, forward beside backward.
 *
 * ```
 * q, k, v ─ convolution, SiLU ─ q, k divided by their norms ─┐
 * a, b ─ gates ──────────────────────────────────────────────┴ delta rule ─ norm · silu(z)
 * ```
 *
 * The forward keeps the merged output of the linear layers, and the output of the rule. All else lives
 * in memory that the blocks share, and is made again for the backward; so are the states, which only
 * generation keeps, from token to token.
 *
 * @module
 */

import { asVector, type Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import {
  deltaConv,
  deltaConvBackward,
  historyRows,
  moveConvHistory,
} from "../kernels/delta_net/conv.ts";
import { gatedNorm, gatedNormBackward } from "../kernels/delta_net/gated_norm.ts";
import {
  deltaGates,
  deltaGatesBackward,
  normQueriesAndKeys,
  normQueriesAndKeysBackward,
} from "../kernels/delta_net/inputs.ts";
import { deltaRule, deltaRuleBackward, stateCols, stateRows } from "../kernels/delta_net/rule.ts";
import type { Device } from "../gpu/device.ts";
import type { DenseWeight } from "../layers/method.ts";
import type { StoredVector } from "../layers/named_dense.ts";
import type { Activations } from "./activations.ts";
import { deltaNetColumns } from "./block_specs.ts";
import { deltaNetChannels, type DeltaNetPlan } from "./delta_net_plan.ts";
import type { TokenBuffers } from "./token_buffers.ts";

/** What of a delta net is no linear layer: its weights, each one row. */
export interface DeltaNet {
  plan: DeltaNetPlan;
  conv: DenseWeight;
  dtBias: DenseWeight;
  aLog: DenseWeight;
  norm: DenseWeight;
}

/** Makes the weights that a plan asks for by `make`, a row of `cols` each. */
export function makeDeltaNet(
  plan: DeltaNetPlan | null,
  make: (name: string, cols: number, stored?: StoredVector) => DenseWeight,
): DeltaNet | null {
  if (!plan) return null;
  const { tensors, valueHeads, valueDim, convWidth } = plan;
  const channels = deltaNetChannels(plan);
  return {
    plan,
    conv: make(tensors.conv, channels * convWidth, { shape: [channels, 1, convWidth] }),
    dtBias: make(tensors.dtBias, valueHeads),
    aLog: make(tensors.aLog, valueHeads),
    norm: make(tensors.norm, valueDim),
  };
}

/** What a delta net keeps of a text that grows. */
export interface DeltaStates {
  /** The last tokens that the convolution still sees. */
  history: Matrix;
  /** The states of all heads. */
  states: Matrix;
}

/** Makes the states of an empty text: zeros. */
export function makeDeltaStates(device: Device, plan: DeltaNetPlan): DeltaStates {
  const rows = historyRows(plan.convWidth);
  return {
    history: device.matrix(
      rows,
      deltaNetChannels(plan),
      "f32",
      "history of a convolution",
      "model",
    ),
    states: device.matrix(
      stateRows(plan),
      stateCols(plan),
      "f32",
      "states of a delta net",
      "model",
    ),
  };
}

/** What of a pass it works on. */
export interface DeltaPass {
  program: Program;
  activations: Activations;
  tokens: TokenBuffers;
  rows: number;
  /**
   * What the delta net of a layer keeps of a text whose tokens come in several passes. Left out for
   * passes of whole documents.
   */
  deltaStates?: (layer: number) => DeltaStates;
}

/**
 * Records the way from activation `deltaIn` of a layer, the merged output of its linear layers, to what
 * its last linear layer reads; returns that.
 */
export function deltaNetForward(pass: DeltaPass, net: DeltaNet, layer: number): Matrix {
  const { program, activations, tokens, rows, deltaStates } = pass;
  const states = deltaStates?.(layer) ?? null;
  const inputs = recordInputs(pass, net, layer, states);
  const output = activations.get("deltaOut", rows, layer);
  deltaRule(program, {
    ...inputs,
    from: states ? { states: states.states } : { documents: tokens.documents },
    output,
  });
  return recordGatedNorm(pass, net, layer);
}

/** Records what the last linear layer of a delta net read, again; returns it. */
export function deltaNetOutputAgain(pass: DeltaPass, net: DeltaNet, layer: number): Matrix {
  return recordGatedNorm(pass, net, layer);
}

/** Records the gradient of {@linkcode deltaNetForward}, from that of its output to activation `dDeltaIn`. */
export function deltaNetBackward(
  pass: DeltaPass,
  net: DeltaNet,
  layer: number,
  dOutput: Matrix,
): void {
  const { program, activations, tokens: { documents }, rows } = pass;
  const { plan, conv, norm, aLog, dtBias } = net;
  const dMerged = activations.get("dDeltaIn", rows, layer);
  const dRule = program.scratch(rows, dOutput.cols, "gradient of a delta rule");
  gatedNormBackward(program, {
    ...normOperands(pass, net, layer),
    dOutput,
    dInput: dRule,
    dMerged,
    dWeight: norm.gradient && asVector(norm.gradient()),
  });
  const rstd = program.scratch(rows, 2 * plan.keyHeads, "norms of queries and keys");
  const inputs = recordInputs(pass, net, layer, null, rstd);
  const dQkv = program.scratch(rows, inputs.qkv.cols, "gradient of a delta net's q, k and v");
  const dGates = program.scratch(rows, inputs.gates.cols, "gradient of a delta net's gates");
  deltaRuleBackward(program, { ...inputs, documents, dOutput: dRule, dQkv, dGates });
  normQueriesAndKeysBackward(program, { ...inputs, rstd, dQkv });
  deltaGatesBackward(program, {
    ...gateOperands(pass, net, layer),
    dGates,
    dMerged,
    parameters: aLog.gradient && dtBias.gradient
      ? { dALog: aLog.gradient(), dDtBias: dtBias.gradient() }
      : null,
  });
  deltaConvBackward(program, {
    ...convOperands(pass, net, layer),
    documents,
    d: dQkv,
    dMerged,
    dWeight: conv.gradient && asVector(conv.gradient()),
  });
}

/** Records what the rule reads. */
function recordInputs(
  pass: DeltaPass,
  net: DeltaNet,
  layer: number,
  states: DeltaStates | null,
  rstd: Matrix | null = null,
) {
  const { program, tokens: { documents } } = pass;
  const { plan: heads } = net;
  const conv = convOperands(pass, net, layer);
  const qkv = program.scratch(pass.rows, deltaNetChannels(heads), "q, k and v of a delta net");
  const history = states?.history;
  deltaConv(program, { ...conv, before: history ? { history } : { documents }, output: qkv });
  if (history) moveConvHistory(program, { ...conv, history });
  normQueriesAndKeys(program, { heads, qkv, rstd });
  const operands = gateOperands(pass, net, layer);
  deltaGates(program, operands);
  return { heads, qkv, gates: operands.gates };
}

function convOperands({ activations, rows }: DeltaPass, { plan, conv }: DeltaNet, layer: number) {
  return {
    heads: plan,
    width: plan.convWidth,
    merged: activations.get("deltaIn", rows, layer),
    columns: deltaNetColumns(plan),
    weight: asVector(conv.value()),
  };
}

function gateOperands(
  { program, activations, rows }: DeltaPass,
  { plan, aLog, dtBias }: DeltaNet,
  layer: number,
) {
  const { valueHeads: heads } = plan;
  return {
    heads,
    merged: activations.get("deltaIn", rows, layer),
    columns: deltaNetColumns(plan),
    aLog: asVector(aLog.value()),
    dtBias: asVector(dtBias.value()),
    gates: program.scratch(rows, 2 * heads, "gates of a delta net"),
  };
}

function recordGatedNorm(pass: DeltaPass, net: DeltaNet, layer: number): Matrix {
  const operands = normOperands(pass, net, layer);
  const { rows, cols } = operands.input;
  const output = pass.program.scratch(rows, cols, "gated output of a delta net");
  gatedNorm(pass.program, { ...operands, output });
  return output;
}

function normOperands({ activations, rows }: DeltaPass, { plan, norm }: DeltaNet, layer: number) {
  return {
    heads: plan.valueHeads,
    input: activations.get("deltaOut", rows, layer),
    merged: activations.get("deltaIn", rows, layer),
    zColumn: deltaNetColumns(plan).z,
    weight: asVector(norm.value()),
    eps: plan.eps,
  };
}
