/**
 * What mixes the tokens of a block, between its first and its last linear layer: attention, whose output
 * may be gated, or a gated delta net (`delta_net.ts`); forward beside backward.
 *
 * @module
 */

import { type ColumnBlock, columnsOf, type Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { attentionBackward, attentionForward } from "../kernels/attention/attention.ts";
import { outputGate, outputGateBackward } from "../kernels/attention/output_gate.ts";
import { rotate } from "../kernels/rows/rotation.ts";
import type { Linear, LinearBackward } from "../layers/method.ts";
import type { ActivationName } from "./activation_plan.ts";
import {
  anglesOf,
  attentionInputGradients,
  attentionInputs,
  attentionInputsAgain,
  type QkNorm,
  type QkvColumns,
  qkvColumns,
} from "./attention_inputs.ts";
import { outputGateColumns } from "./block_specs.ts";
import {
  type DeltaNet,
  deltaNetBackward,
  deltaNetForward,
  deltaNetOutputAgain,
  type DeltaPass,
} from "./delta_net.ts";
import type { AttentionLayerPlan, LayerPlan } from "./plan.ts";
import type { Rotation } from "./rope_buffers.ts";
import { documentsIn } from "./token_buffers.ts";

/** What of a block mixes its tokens. */
export interface Mixer {
  plan: LayerPlan;
  /** The linear layers that read its input. */
  qkv: Linear;
  /** The norms of queries and keys, where the plan has them. */
  qkNorm: QkNorm | null;
  /** How queries and keys are turned; null where they are not. */
  rotation: Rotation | null;
  /** Stands in the place of attention, where the plan has one. */
  deltaNet: DeltaNet | null;
  /** The last linear layer. */
  o: Linear;
}

/** What all blocks of a pass share. */
export interface Pass extends DeltaPass {
  /**
   * The most rows that linear layers take at a time: what their method keeps of a step is shared
   * with training, and must not grow for a long prompt, as that would free what a recorded training
   * step uses. A multiple of 8 if it is less than `rows`, so that groups of rows begin at 256
   * bytes. A pass with a backward has one group.
   */
  linearRows: number;
  /** Whether it is one of training. Default false. */
  training?: boolean;
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

/** The activation that the first linear layers of a mixer write. */
export function mixerInput({ deltaNet }: LayerPlan): ActivationName {
  return deltaNet ? "deltaIn" : "qkv";
}

/** Records the way from there to what the last linear layer reads; returns that. */
export function mixForward(pass: Pass, mixer: Mixer, layer: number, attend: Attend): Matrix {
  if (mixer.deltaNet) return deltaNetForward(pass, mixer.deltaNet, layer);
  const { activations, rows } = pass;
  const qkv = attentionInputs(pass, mixer, layer);
  const output = activations.get("attended", rows, layer);
  const logSumExp = activations.get("logSumExp", rows, layer);
  attend(pass, layer, { ...qkv, output, logSumExp });
  return isGated(mixer.plan) ? recordGate(pass, mixer.plan, layer) : output;
}

/**
 * Records the gradients of a mixer and of its last linear layer, from that of the latter's output to that
 * of the output of the first linear layers, which is returned.
 */
export function mixBackward(
  pass: Pass,
  mixer: Mixer,
  layer: number,
  dOutput: Pick<LinearBackward, "dOutput" | "codes">,
): Matrix {
  const { program, activations, tokens, rows } = pass;
  const { o, deltaNet, plan } = mixer;
  const reads = o.backwardReadsInput || o.backwardReadsCodes;
  if (deltaNet) {
    const dInput = program.scratch(rows, o.spec.inFeatures, "gradient of a delta net's output");
    const input = reads ? deltaNetOutputAgain(pass, deltaNet, layer) : null;
    o.backward(program, { ...dOutput, input, dInput });
    rotate(program, { input: dInput, block: o.rotation });
    deltaNetBackward(pass, deltaNet, layer, dInput);
    return activations.get("dDeltaIn", rows, layer);
  }
  const output = activations.get("attended", rows, layer);
  const dInput = activations.get("dAttended", rows, layer);
  const gated = isGated(plan);
  const input = !gated ? output : reads ? recordGate(pass, plan, layer) : null;
  o.backward(program, { ...dOutput, input, dInput });
  rotate(program, { input: dInput, block: o.rotation });
  if (gated) {
    const z = gateOf(plan, activations.get("qkv", rows, layer));
    const dZ = gateOf(plan, activations.get("dQkv", rows, layer));
    outputGateBackward(program, { attended: output, z, d: dInput, dZ });
  }
  const gradient = qkvColumns(mixer, activations.get("dQkv", rows, layer));
  attentionBackward(program, {
    ...attentionInputsAgain(pass, mixer, layer),
    documents: documentsIn(tokens, gradient.window),
    output,
    logSumExp: activations.get("logSumExp", rows, layer),
    dOutput: dInput,
    rotation: anglesOf(mixer, tokens) ?? undefined,
    dQ: gradient.q,
    dK: gradient.k,
    dV: gradient.v,
  });
  return attentionInputGradients(pass, mixer, layer);
}

function isGated(plan: LayerPlan): plan is AttentionLayerPlan {
  return plan.attention?.outputGate === true;
}

/** Records the gated output of attention, in memory that all blocks share. */
function recordGate(
  { program, activations, rows }: { program: Program } & Pick<Pass, "activations" | "rows">,
  plan: AttentionLayerPlan,
  layer: number,
): Matrix {
  const attended = activations.get("attended", rows, layer);
  const output = program.scratch(rows, attended.cols, "gated output of attention");
  const z = gateOf(plan, activations.get("qkv", rows, layer));
  outputGate(program, { attended, z, output });
  return output;
}

/** The columns of a merged matrix that gate the output. */
function gateOf({ attention }: AttentionLayerPlan, merged: Matrix): ColumnBlock {
  const { start, rows } = outputGateColumns(attention);
  return columnsOf(merged, start, rows);
}
