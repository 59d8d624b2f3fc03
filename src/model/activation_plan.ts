/**
 * Which activations a step has: what the forward pass leaves for the backward pass, and what both only
 * pass through.
 *
 * The plan is data, so that `inspect` predicts with the same list that a run allocates.
 *
 * @module
 */

import { matrixBytes, pitchOf } from "../gpu/buffers.ts";
import { qkNormRows } from "../kernels/attention/qk_norm_rows.ts";
import type { DenseType } from "../layers/method.ts";
import {
  attentionColumns,
  blockSpecs,
  keyValueColumns,
  normedHeads,
  valueForm,
  widthOf,
} from "./block_specs.ts";
import type { ModelConfig } from "./config.ts";
import type { LayerPlan, ModelPlan } from "./plan.ts";

/** What a network's memory must serve. */
export interface ActivationMode {
  /** The longest step, in tokens. */
  tokens: number;
  /** Backward passes are wanted. */
  training: boolean;
  /** Keep only the input of each block and compute the rest again in the backward pass. */
  checkpointing: boolean;
}

/** Activations with one matrix per block, or one that all blocks share. */
const KEPT = [
  ...["input", "qkv", "attended", "logSumExp", "postAttention", "gateUp"] as const,
  // The outputs of branches, where a norm follows.
  ...["attentionBranch", "mlpBranch"] as const,
  // What a third branch reads, its gate, and its output: see `token_inputs.ts`.
  ...["postMlp", "tokenGate", "tokenBranch"] as const,
  // What a delta net reads, and what its rule gives.
  ...["deltaIn", "deltaOut"] as const,
] as const;
/** Those that only layers of attention have. */
const ATTENTION = [
  ...["qkv", "attended", "logSumExp", "rotated", "qkRstd", "dAttended", "dQkv"] as const,
  ...["dProjected", "keyValues", "dKeyValues"] as const,
] as const;
/** Activations that layers have of their own in every mode: other layers read them. */
const SHARED = ["keyValues"] as const;
/** Values that live only within a block's forward or backward. */
const PASSING = [
  ...["normed", "rotated", "hidden", "final"] as const,
  ...["projectedInputs", "tokenInputs", "tableRows", "tokenGateUp", "tokenHidden"] as const,
] as const;
const PASSING_BACKWARD = [
  "qkRstd",
  "dResidual",
  "dNormed",
  "dHidden",
  "dGateUp",
  "dAttended",
  "dQkv",
  // The gradient of the output of the qkv layer, where that has no values.
  "dProjected",
  "dKeyValues",
  ...["tokenRstd", "dTokenInputs", "dTokenHidden", "dTokenGateUp", "dTokenGate"] as const,
  "dDeltaIn",
  "dFinal",
] as const;

/** Names of the activations. */
export type ActivationName =
  | typeof KEPT[number]
  | typeof SHARED[number]
  | typeof PASSING[number]
  | typeof PASSING_BACKWARD[number];

/** In which type activations are kept, null for none at all; f32 where nothing is said. */
export type ActivationTypes = Readonly<Partial<Record<ActivationName, DenseType | null>>>;

/** One line of the plan: a matrix [tokens, cols] at least. */
export interface PlannedActivation {
  name: ActivationName;
  /** Those of the widest layer that has it. */
  cols: number;
  type: DenseType;
  /** The columns that each layer has in it, by its index. */
  layers: ReadonlyMap<number, number>;
  /** Whether each layer has one of its own. */
  kept: boolean;
}

/** The columns of an activation in a layer. */
interface Columns {
  cols: number;
  /**
   * How what is beside each other in them is laid out: layers that share memory must leave the same
   * columns zero.
   */
  layout: string;
}

/** Lists every activation of a network whose layers want them in these types. */
export function planActivations(
  { plan }: Pick<ModelConfig, "plan">,
  mode: ActivationMode,
  types: ActivationTypes,
): PlannedActivation[] {
  const { hiddenSize, layers } = plan;
  const columns = layers.map((_, layer) => columnsOf(plan, layer));
  const stream = { cols: hiddenSize, layout: "" };
  const lines = (name: ActivationName, kept: boolean): PlannedActivation[] => {
    const { [name]: type = "f32" } = types;
    if (type === null) return [];
    const of = (layer: number) => columns[layer]?.[name] ?? stream;
    // The output of the last block is one more input: that of the final norm.
    const count = layers.length + (name === "input" ? 1 : 0);
    const having = Array.from({ length: count }, (_, layer) => layer)
      .filter((layer) => of(layer).cols > 0);
    const groups = Map.groupBy(having, (layer) => kept ? layer : of(layer).layout);
    return [...groups.values()].map((group) => {
      const cols = new Map(group.map((layer) => [layer, of(layer).cols]));
      return { name, cols: Math.max(...cols.values()), type, layers: cols, kept };
    });
  };
  const each = mode.training && !mode.checkpointing;
  return [
    ...KEPT.flatMap((name) => lines(name, name === "input" ? mode.training : each)),
    ...SHARED.flatMap((name) => lines(name, true)),
    ...PASSING.flatMap((name) => lines(name, false)),
    ...(mode.training ? PASSING_BACKWARD.flatMap((name) => lines(name, false)) : []),
  ];
}

/** Columns of parts beside each other. */
const columns = (...parts: number[]) => (cols: number): Columns => ({
  cols,
  layout: parts.every((part) => part % 16 === 0) ? "whole" : `${parts}`,
});
const one = (cols: number) => columns(cols)(cols);

/** Those of attention; of a layer without, none. */
function attentionActivations(
  layers: readonly LayerPlan[],
  index: number,
  projected: Columns,
): Partial<Record<ActivationName, Columns>> {
  const { attention } = layers[index];
  if (!attention) return Object.fromEntries(ATTENTION.map((name) => [name, one(0)]));
  const layer = { ...layers[index], attention };
  const { heads, headDim, qkNorm } = attention;
  const none = one(0);
  const places = attentionColumns(attention);
  const attended = columns(...places.map(({ rows }) => rows))(widthOf(places));
  const queries = one(heads * headDim);
  const form = valueForm(layer);
  const isSource = layers.some(({ attention }) => attention?.sharedWith === index);
  const keyValues = widthOf(keyValueColumns(attention));
  return {
    qkv: projected,
    attended: queries,
    logSumExp: one(heads),
    rotated: attended,
    qkRstd: one(qkNorm ? qkNormRows({ ...qkNorm, ...normedHeads(layer) }) : 0),
    dAttended: queries,
    dQkv: attended,
    dProjected: form === "keys" || form === "shared" ? projected : none,
    // Each has its own, also where layers of one layout share other memory.
    keyValues: isSource ? one(keyValues) : none,
    dKeyValues: isSource ? { cols: keyValues, layout: `of ${index}` } : none,
  };
}

/** The columns of the activations of a layer, those of the stream left out. */
function columnsOf(
  { hiddenSize, layers, tokenInputs }: ModelPlan,
  index: number,
): Partial<Record<ActivationName, Columns>> {
  const layer = layers[index];
  const { deltaNet, mlp, tokenInput } = layer;
  const { qkv, o, gateUp } = blockSpecs(layer, hiddenSize, index);
  const none = one(0);
  const projected = columns(...qkv.parts.map(({ rows }) => rows))(qkv.width);
  const merged = columns(mlp.width)(gateUp.width);
  const hidden = one(mlp.width);
  const width = tokenInput ? tokenInputs!.width : 0;
  /** Those of all layers belong to the first one. */
  const inputs = one(index === 0 && tokenInputs ? layers.length * tokenInputs.width : 0);
  /** As linear layers write them. */
  const whole = ({ cols, layout }: Columns): Columns => ({ cols: pitchOf(cols), layout });
  const gated = columns(width)(2 * pitchOf(width));
  const third = tokenInput ? one(hiddenSize) : none;
  return {
    ...attentionActivations(layers, index, projected),
    deltaIn: deltaNet ? projected : none,
    deltaOut: deltaNet ? one(o.inFeatures) : none,
    dDeltaIn: deltaNet ? projected : none,
    gateUp: merged,
    hidden,
    dHidden: hidden,
    dGateUp: merged,
    postMlp: third,
    tokenBranch: third,
    tokenGate: whole(one(width)),
    tokenGateUp: gated,
    tokenHidden: one(width),
    projectedInputs: whole(inputs),
    tokenInputs: inputs,
    tableRows: inputs,
    tokenRstd: one(inputs.cols > 0 ? layers.length : 0),
    dTokenInputs: whole(inputs),
    dTokenHidden: one(width),
    dTokenGateUp: gated,
    dTokenGate: whole(one(width)),
  };
}

/** Bytes of a planned activation. */
export function activationBytes({ cols, type }: PlannedActivation, tokens: number): number {
  return matrixBytes(tokens, pitchOf(cols), type);
}
