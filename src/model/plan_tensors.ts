/**
 * The tensors of a plan: their names and shapes, and the same plan under other names.
 *
 * @module
 */

import { deltaNetChannels } from "./delta_net_plan.ts";
import { type LinearRole, storedRow } from "./tensor_map.ts";
import {
  type LayerPlan,
  mixerBias,
  mixerRoles,
  mixerWidth,
  type ModelPlan,
  type NormPlan,
} from "./plan.ts";

/** The plan with every tensor under another name. */
export function renameTensors(plan: ModelPlan, rename: (name: string) => string): ModelPlan {
  const renamed = <T extends { readonly tensor: string }>(of: T): T => ({
    ...of,
    tensor: rename(of.tensor),
  });
  const norm = (plan: NormPlan | null) => plan && renamed(plan);
  return {
    ...plan,
    embedding: renamed(plan.embedding),
    layers: plan.layers.map((layer): LayerPlan => {
      const { norms: { attentionIn, attentionOut, mlpIn, mlpOut }, attention, deltaNet } = layer;
      const tensors = Object.entries(layer.tensors)
        .map(([role, rows]) => [role, { ...rows, name: rename(rows.name) }]);
      const qkNorm = attention?.qkNorm && {
        ...attention.qkNorm,
        tensors: {
          q: rename(attention.qkNorm.tensors.q),
          k: rename(attention.qkNorm.tensors.k),
        },
      };
      const { conv, dtBias, aLog, norm: gated } = deltaNet?.tensors ?? {};
      return {
        ...layer,
        attention: attention && { ...attention, qkNorm: qkNorm ?? null },
        deltaNet: deltaNet && {
          ...deltaNet,
          tensors: {
            conv: rename(conv!),
            dtBias: rename(dtBias!),
            aLog: rename(aLog!),
            norm: rename(gated!),
          },
        },
        ...(layer.tokenInput && {
          tokenInput: {
            gate: rename(layer.tokenInput.gate),
            projection: rename(layer.tokenInput.projection),
            norm: renamed(layer.tokenInput.norm),
          },
        }),
        ...(layer.outputScale && { outputScale: rename(layer.outputScale) }),
        norms: {
          attentionIn: norm(attentionIn),
          attentionOut: norm(attentionOut),
          mlpIn: norm(mlpIn),
          mlpOut: norm(mlpOut),
        },
        tensors: Object.fromEntries(tensors),
      };
    }),
    finalNorm: renamed(plan.finalNorm),
    head: renamed(plan.head),
    ...(plan.tokenInputs && {
      tokenInputs: {
        ...plan.tokenInputs,
        table: renamed(plan.tokenInputs.table),
        projection: renamed(plan.tokenInputs.projection),
        norm: renamed(plan.tokenInputs.norm),
      },
    }),
  };
}

/** The names of the weights of the linear layers: what is no embedding, norm, head or bias. */
export function linearTensorNames({ layers, tokenInputs }: ModelPlan): Set<string> {
  return new Set([
    ...(tokenInputs ? [tokenInputs.projection.tensor] : []),
    ...layers.flatMap(({ tensors, tokenInput }) => [
      ...Object.values(tensors).map(({ name }) => name),
      ...(tokenInput ? [tokenInput.gate, tokenInput.projection] : []),
    ]),
  ]);
}

/** The tensor of a bias, by that of the weight that it stands beside; `biasName` of layers is by module. */
export function biasTensorOf(weight: string): string {
  return weight.replace(/\.weight$/, ".bias");
}

/**
 * The name and shape of every tensor that a plan reads, in the order of the forward pass. Matrices
 * are `[outFeatures, inFeatures]`.
 */
export function planTensorShapes(plan: ModelPlan): Map<string, number[]> {
  const { vocabSize, hiddenSize } = plan;
  const shapes = new Map<string, number[]>([[plan.embedding.tensor, [vocabSize, hiddenSize]]]);
  const norm = (norm: NormPlan | null) => norm && shapes.set(norm.tensor, [hiddenSize]);
  const { tokenInputs } = plan;
  if (tokenInputs) {
    const { table, projection, norm, width } = tokenInputs;
    shapes.set(table.tensor, [table.vocabSize, plan.layers.length * width]);
    shapes.set(projection.tensor, [plan.layers.length * width, hiddenSize]);
    shapes.set(norm.tensor, [width]);
  }
  for (const layer of plan.layers) {
    const { norms, attention, deltaNet, mlp, tensors, tokenInput, outputScale } = layer;
    const linear = (inFeatures: number, bias: boolean, ...roles: LinearRole[]) => {
      for (const stored of roles.map((role) => tensors[role]!)) {
        const { name, rows } = stored;
        const outFeatures = Math.max(shapes.get(name)?.[0] ?? 0, storedRow(stored, rows - 1) + 1);
        shapes.set(name, [outFeatures, inFeatures]);
        if (bias) shapes.set(biasTensorOf(name), [outFeatures]);
      }
    };
    const bias = mixerBias(layer);
    norm(norms.attentionIn);
    linear(hiddenSize, bias.qkv, ...mixerRoles(layer));
    if (attention?.qkNorm) {
      const { heads, kvHeads, headDim, qkNorm: { over, tensors: { q, k } } } = attention;
      shapes.set(q, [over === "head" ? headDim : heads * headDim]);
      if (tensors.k) shapes.set(k, [over === "head" ? headDim : kvHeads * headDim]);
    }
    if (deltaNet) {
      const { tensors, convWidth, valueHeads, valueDim } = deltaNet;
      shapes.set(tensors.conv, [deltaNetChannels(deltaNet), 1, convWidth]);
      shapes.set(tensors.dtBias, [valueHeads]);
      shapes.set(tensors.aLog, [valueHeads]);
      shapes.set(tensors.norm, [valueDim]);
    }
    linear(mixerWidth(layer), bias.o, "o");
    norm(norms.attentionOut);
    norm(norms.mlpIn);
    linear(hiddenSize, mlp.bias, "gate", "up");
    linear(mlp.width, mlp.bias, "down");
    norm(norms.mlpOut);
    if (tokenInput) {
      shapes.set(tokenInput.gate, [tokenInputs!.width, hiddenSize]);
      shapes.set(tokenInput.projection, [hiddenSize, tokenInputs!.width]);
      norm(tokenInput.norm);
    }
    if (outputScale) shapes.set(outputScale, [1]);
  }
  norm(plan.finalNorm);
  shapes.set(plan.head.tensor, [vocabSize, hiddenSize]);
  return shapes;
}
