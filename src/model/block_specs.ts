/**
 * The four merged linear layers of a decoder block, as its plan asks for them.
 *
 * Where the model stores several matrices as one tensor, that is one part, with one adapter. The rows
 * of queries and keys are ordered as the kernels rotate them: see `head_order.ts`.
 *
 * @module
 */

import { roundUp } from "../gpu/buffers.ts";
import type { LinearPart, LinearSpec } from "../layers/linear_spec.ts";
import type { RowOrder } from "../layers/row_order.ts";
import { headOrder, rowIn } from "./head_order.ts";
import type { MergedColumns } from "../kernels/delta_net/shapes.ts";
import {
  type AttentionLayerPlan,
  type AttentionPlan,
  type LayerPlan,
  mixerBias,
  mixerRoles,
  mixerWidth,
} from "./plan.ts";
import type { DeltaNetPlan } from "./delta_net_plan.ts";
import { type LinearRole, storedRow, type TensorRows } from "./tensor_map.ts";

/** The merged linears of one block. */
export interface BlockSpecs {
  qkv: LinearSpec;
  o: LinearSpec;
  gateUp: LinearSpec;
  down: LinearSpec;
  /** Those of the branch that takes in a token's input, where there is one. */
  token: { gate: LinearSpec; projection: LinearSpec } | null;
}

/** The linear layers of a block, or their specs, in the order of the forward pass. */
export function linearsOf<T>({ qkv, o, gateUp, down, token }:
  & {
    readonly [name in Exclude<keyof BlockSpecs, "token">]: T;
  }
  & { readonly token: { readonly gate: T; readonly projection: T } | null }): T[] {
  return [qkv, o, gateUp, down, ...(token ? [token.gate, token.projection] : [])];
}

/**
 * Describes the merged linears of block `layer`.
 *
 * @param inputWidth Components of a token's input, where the block takes one.
 */
export function blockSpecs(
  plan: LayerPlan,
  hiddenSize: number,
  layer: number,
  inputWidth = 0,
): BlockSpecs {
  const { mlp, residualScale, tokenInput } = plan;
  const { qkv, o } = mixerBias(plan);
  const merge = (
    name: string,
    inFeatures: number,
    bias: boolean,
    ...roles: LinearRole[]
  ): LinearSpec => ({
    name: `layers.${layer}.${name}`,
    inFeatures,
    ...mergeRows(plan, bias, roles),
  });
  // Whether a branch is scaled or what its last layer multiplies is the same.
  const last = (spec: LinearSpec) => ({ ...spec, outputFactor: residualScale });
  return {
    qkv: merge("qkv", hiddenSize, qkv, ...mixerRoles(plan)),
    o: last(merge("o", mixerWidth(plan), o, "o")),
    gateUp: merge("gate_up", hiddenSize, mlp.bias, "gate", "up"),
    down: last(merge("down", mlp.width, mlp.bias, "down")),
    token: tokenInput
      ? {
        gate: singleSpec(`layers.${layer}.token_gate`, tokenInput.gate, hiddenSize, inputWidth),
        projection: singleSpec(
          `layers.${layer}.token_projection`,
          tokenInput.projection,
          inputWidth,
          hiddenSize,
        ),
      }
      : null,
  };
}

/** A linear layer that is merged with no other: that of a tensor. */
export function singleSpec(
  name: string,
  tensor: string,
  inFeatures: number,
  rows: number,
): LinearSpec {
  const module = moduleOf(tensor);
  const kind = module.slice(module.lastIndexOf(".") + 1);
  return { name, inFeatures, width: roundUp(rows, 16), parts: [{ module, kind, rows, start: 0 }] };
}

/**
 * The columns of q, k and v in what attention reads. The merged output of their projections has the same,
 * up to those that have none.
 */
export function qkvColumns(plan: AttentionPlan): Place[] {
  return attentionColumns(plan).filter((_, i) => !plan.outputGate || i !== 1);
}

/** Those that gate the output of attention; only of a plan that has a gate. */
export function outputGateColumns(plan: AttentionPlan): Place {
  return attentionColumns(plan)[1];
}

/** All columns of what attention reads, those of the gate among them. */
export function attentionColumns({ heads, kvHeads, headDim, outputGate }: AttentionPlan): Place[] {
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  return placesOf([queries, ...(outputGate ? [queries] : []), keys, keys]);
}

/** The columns of the merged output of a delta net's linear layers, behind q. */
export function deltaNetColumns(
  { keyHeads, keyDim, valueHeads, valueDim }: DeltaNetPlan,
): MergedColumns {
  const [keys, values] = [keyHeads * keyDim, valueHeads * valueDim];
  const places = placesOf([keys, keys, values, values, valueHeads, valueHeads]);
  const [, k, v, z, b, a] = places.map(({ start }) => start);
  return { k, v, z, b, a };
}

/** The columns of keys and values that other layers attend to as well. */
export function keyValueColumns({ kvHeads, headDim }: AttentionPlan): Place[] {
  return placesOf([kvHeads * headDim, kvHeads * headDim]);
}

/** The heads that the norms of a layer take; those that it shares are normed already. */
export function normedHeads(
  layer: AttentionLayerPlan,
): { heads: number; kvHeads: number; headDim: number; values: "copied" | "normed" | "keys" } {
  const { heads, kvHeads, headDim } = layer.attention;
  const values = valueForm(layer);
  return values === "shared"
    ? { heads, kvHeads: 0, headDim, values: "copied" }
    : { heads, kvHeads, headDim, values };
}

/** Where the values of a layer come from on the way to attention. */
export function valueForm(
  { attention, tensors }: AttentionLayerPlan,
): "copied" | "normed" | "keys" | "shared" {
  if (attention.sharedWith !== undefined) return "shared";
  if (!attention.qkNorm?.values) return "copied";
  return tensors.v ? "normed" : "keys";
}

/** The columns of a matrix of such places. */
export function widthOf(places: readonly Place[]): number {
  const { start, rows } = places.at(-1)!;
  return roundUp(start + rows, 16);
}

/** Where one of several matrices is in a merged one. */
export interface Place {
  start: number;
  rows: number;
}

/** Matrices below each other, each from a multiple of 16 on. */
function placesOf(rows: readonly number[]): Place[] {
  let end = 0;
  return rows.map((rows) => {
    const start = roundUp(end, 16);
    end = start + rows;
    return { start, rows };
  });
}

/** The parts of a merged linear layer: one for each tensor. */
function mergeRows(
  { attention, tensors }: LayerPlan,
  bias: boolean,
  roles: readonly LinearRole[],
): Pick<LinearSpec, "parts" | "width"> {
  const stored = (role: LinearRole) => tensors[role]!;
  const places = placesOf(roles.map((role) => stored(role).rows));
  const names = new Set(roles.map((role) => stored(role).name));
  const parts = [...names].map((name): LinearPart => {
    const matrices = roles.map((role, i) => ({ role, ...stored(role), ...places[i] }))
      .filter((matrix) => matrix.name === name);
    const first = Math.min(...matrices.map(({ start }) => start));
    const end = Math.max(...matrices.map(({ start, rows }) => start + rows));
    const order = orderOf(name, matrices, first, attention);
    const module = moduleOf(name);
    return {
      module,
      kind: module.slice(module.lastIndexOf(".") + 1),
      rows: end - first,
      ...(order && { order }),
      start: first,
      ...(bias && { bias }),
      ...(matrices.every(({ role }) => role === "a" || role === "b") && { perHead: true }),
    };
  });
  return { parts, width: widthOf(places) };
}

/** A matrix of a merged layer: where it is there, and where it is stored. */
type Merged = Place & TensorRows & { readonly role: LinearRole };

/** Where the rows of a tensor are in the merged layer, from row `first` on; null for where they stand. */
function orderOf(
  name: string,
  matrices: readonly Merged[],
  first: number,
  attention: AttentionPlan | null,
): RowOrder | null {
  const turned = attention && headOrder(attention);
  const head = ({ role }: Merged) => role === "q" || role === "k" ? turned : null;
  const [only] = matrices;
  if (matrices.length === 1 && !only.heads && only.firstRow === 0 && !head(only)) return null;
  const order = new Uint32Array(matrices.reduce((sum, { rows }) => sum + rows, 0));
  if (matrices.some((matrix) => storedRow(matrix, matrix.rows - 1) >= order.length)) {
    throw new TypeError(`The plan leaves rows of "${name}" out`);
  }
  for (const matrix of matrices) {
    const { start, rows } = matrix;
    const within = head(matrix);
    for (let row = 0; row < rows; row++) {
      order[storedRow(matrix, row)] = start - first + (within ? rowIn(within, row) : row);
    }
  }
  return order.every((row, i) => row === i) ? null : order;
}

/** The path of the module whose weight a tensor is. */
function moduleOf(tensor: string): string {
  return tensor.replace(/\.weight$/, "");
}
