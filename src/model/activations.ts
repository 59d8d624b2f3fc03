/**
 * The memory of a step: what the forward pass leaves for the backward pass, and what both only pass
 * through.
 *
 * The plan is data, so that `inspect` predicts with the same list that a run allocates.
 *
 * @module
 */

import { ELEMENT_BYTES, type Matrix, pitchOf } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { qkNormRows } from "../kernels/attention/qk_norm.ts";
import type { DenseType } from "../layers/method.ts";
import { blockSpecs } from "./block_specs.ts";
import type { ModelConfig } from "./config.ts";
import { attentionOf, type LayerPlan } from "./plan.ts";

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
  // What a delta net reads, and what its rule gives.
  ...["deltaIn", "deltaOut"] as const,
] as const;
/** Those that only blocks with one mixer have. */
const KEPT_BY: Partial<Record<ActivationName, "attention" | "deltaNet">> = {
  qkv: "attention",
  attended: "attention",
  logSumExp: "attention",
  deltaIn: "deltaNet",
  deltaOut: "deltaNet",
};
/** Values that live only within a block's forward or backward. */
const PASSING = ["normed", "rotated", "hidden", "final"] as const;
const PASSING_BACKWARD = [
  "qkRstd",
  "dResidual",
  "dNormed",
  "dHidden",
  "dGateUp",
  "dAttended",
  "dQkv",
  "dDeltaIn",
  "dFinal",
] as const;

/** Names of the activations. */
export type ActivationName =
  | typeof KEPT[number]
  | typeof PASSING[number]
  | typeof PASSING_BACKWARD[number];

/** In which type activations are kept, null for none at all; f32 where nothing is said. */
export type ActivationTypes = Readonly<Partial<Record<ActivationName, DenseType | null>>>;

/** One line of the plan: `copies` matrices [tokens, cols]. */
export interface PlannedActivation {
  name: ActivationName;
  cols: number;
  copies: number;
  type: DenseType;
}

/** The layers that have an activation. */
function layersWith(name: ActivationName, layers: readonly LayerPlan[]): readonly LayerPlan[] {
  const mixer = KEPT_BY[name];
  return mixer ? layers.filter((layer) => layer[mixer]) : layers;
}

/** Columns of the merged output of a layer's mixer, and of what its last linear layer reads. */
function mixerSizes(layer: LayerPlan | undefined, hiddenSize: number) {
  if (!layer) return { merged: 0, output: 0 };
  const { qkv, o } = blockSpecs(layer, hiddenSize, 0);
  return { merged: qkv.width, output: o.inFeatures };
}

/**
 * Lists every activation of a network whose layers want them in these types. All layers have the
 * sizes of the first of their kind: see `support.ts`.
 */
export function planActivations(
  { plan: { hiddenSize, layers } }: Pick<ModelConfig, "plan">,
  mode: ActivationMode,
  types: ActivationTypes,
): PlannedActivation[] {
  const { mlp } = layers[0];
  const { gateUp } = blockSpecs(layers[0], hiddenSize, 0);
  const attention = attentionOf({ layers });
  const { merged: qkv, output: queries } = mixerSizes(
    layers.find((layer) => layer.attention),
    hiddenSize,
  );
  const delta = mixerSizes(layers.find((layer) => layer.deltaNet), hiddenSize);
  const qkNorm = layers.find(({ attention }) => attention?.qkNorm)?.attention?.qkNorm;
  const widths: Record<ActivationName, number> = {
    input: hiddenSize,
    qkv,
    attended: queries,
    postAttention: hiddenSize,
    gateUp: gateUp.width,
    logSumExp: attention?.heads ?? 0,
    attentionBranch: hiddenSize,
    mlpBranch: hiddenSize,
    deltaIn: delta.merged,
    deltaOut: delta.output,
    normed: hiddenSize,
    rotated: qkv,
    qkRstd: qkNorm ? qkNormRows(qkNorm.over, attention!) : 0,
    hidden: mlp.width,
    final: hiddenSize,
    dResidual: hiddenSize,
    dNormed: hiddenSize,
    dHidden: mlp.width,
    dGateUp: gateUp.width,
    dAttended: queries,
    dQkv: qkv,
    dDeltaIn: delta.merged,
    dFinal: hiddenSize,
  };
  const keeps = mode.training && !mode.checkpointing;
  const lines = (name: ActivationName, copies: number): PlannedActivation[] => {
    const { [name]: type = "f32" } = types;
    return type === null ? [] : [{ name, cols: widths[name], copies, type }];
  };
  return [
    // The output of the last block is one more input: that of the final norm.
    ...KEPT.flatMap((name) =>
      lines(
        name,
        name === "input" && mode.training
          ? layers.length + 1
          : keeps
          ? layersWith(name, layers).length
          : 1,
      )
    ),
    ...PASSING.flatMap((name) => lines(name, 1)),
    ...(mode.training ? PASSING_BACKWARD.flatMap((name) => lines(name, 1)) : []),
  ];
}

/** Bytes of a planned activation, all copies. */
export function activationBytes({ cols, copies, type }: PlannedActivation, tokens: number): number {
  return copies * tokens * pitchOf(cols) * ELEMENT_BYTES[type];
}

/** The allocated activations of a network, in the types that its layers want. */
export class Activations implements Disposable {
  readonly mode: ActivationMode;
  #device: Device;
  #config: ModelConfig;
  #matrices = new Map<ActivationName, Matrix[]>();

  constructor(
    device: Device,
    config: ModelConfig,
    mode: ActivationMode,
    types: ActivationTypes,
  ) {
    this.#device = device;
    this.mode = mode;
    this.#config = config;
    try {
      this.fit(types);
    } catch (error) {
      this[Symbol.dispose](); // one of the later ones was over a limit
      throw error;
    }
  }

  /** Frees the activations that are not wanted any more, and makes those that are wanted now. */
  fit(types: ActivationTypes): void {
    const plan = planActivations(this.#config, this.mode, types);
    for (const [name, matrices] of this.#matrices) {
      if (plan.some((line) => line.name === name && line.type === matrices[0].type)) continue;
      this.#device.free(...matrices);
      this.#matrices.delete(name);
    }
    for (const line of plan) if (!this.#matrices.has(line.name)) this.#allocate(line);
  }

  #allocate({ name, cols, copies, type }: PlannedActivation): void {
    const matrices: Matrix[] = [];
    this.#matrices.set(name, matrices);
    for (let i = 0; i < copies; i++) {
      const label = copies > 1 ? `${name} ${i}` : name;
      matrices.push(this.#device.matrix(this.mode.tokens, cols, type, label));
    }
  }

  /** The first `rows` rows of an activation; of block `layer` where each block has its own. */
  get(name: ActivationName, rows: number, layer = 0): Matrix {
    const copies = this.#matrices.get(name);
    if (!copies) throw new TypeError(`Activation "${name}" is not part of this plan`);
    const matrix = copies[copies.length === 1 ? 0 : this.#placeOf(name, layer)];
    const size = matrix.size / matrix.rows * rows;
    return { ...matrix, rows, size };
  }

  /** Which of its matrices is that of a layer. */
  #placeOf(name: ActivationName, layer: number): number {
    return layersWith(name, this.#config.plan.layers.slice(0, layer)).length;
  }

  [Symbol.dispose](): void {
    for (const copies of this.#matrices.values()) this.#device.free(...copies);
  }
}
