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
import { headOrder, rowIn } from "./head_order.ts";
import type { MergedColumns } from "../kernels/delta_net/shapes.ts";
import { type AttentionPlan, type LayerPlan, mixerBias, mixerRoles, mixerWidth } from "./plan.ts";
import type { DeltaNetPlan } from "./delta_net_plan.ts";
import { type LinearRole, storedRow } from "./tensor_map.ts";

/** The merged linears of one block. */
export interface BlockSpecs {
  qkv: LinearSpec;
  o: LinearSpec;
  gateUp: LinearSpec;
  down: LinearSpec;
}

/** Describes the merged linears of block `layer`. */
export function blockSpecs(plan: LayerPlan, hiddenSize: number, layer: number): BlockSpecs {
  const { mlp, residualScale } = plan;
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
  };
}

/** The columns of the merged output that are q, k and v. */
export function qkvColumns(plan: AttentionPlan): Place[] {
  return attentionColumns(plan).filter((_, i) => !plan.outputGate || i !== 1);
}

/** Those that gate the output of attention; only of a plan that has a gate. */
export function outputGateColumns(plan: AttentionPlan): Place {
  return attentionColumns(plan)[1];
}

function attentionColumns({ heads, kvHeads, headDim, outputGate }: AttentionPlan): Place[] {
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

/** Where one of several matrices is in a merged one. */
interface Place {
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
  const { start, rows } = places.at(-1)!;
  const names = new Set(roles.map((role) => stored(role).name));
  const parts = [...names].map((name): LinearPart => {
    const matrices = roles.map((role, i) => ({ role, ...stored(role), ...places[i] }))
      .filter((matrix) => matrix.name === name);
    const first = Math.min(...matrices.map(({ start }) => start));
    const end = Math.max(...matrices.map(({ start, rows }) => start + rows));
    const order = new Uint32Array(matrices.reduce((sum, { rows }) => sum + rows, 0));
    if (matrices.some((matrix) => storedRow(matrix, matrix.rows - 1) >= order.length)) {
      throw new TypeError(`The plan leaves rows of "${name}" out`);
    }
    for (const matrix of matrices) {
      const { role, start, rows } = matrix;
      const head = attention && (role === "q" || role === "k") ? headOrder(attention) : null;
      for (let row = 0; row < rows; row++) {
        order[storedRow(matrix, row)] = start - first + (head ? rowIn(head, row) : row);
      }
    }
    const module = moduleOf(name);
    const isPlain = order.every((row, i) => row === i);
    return {
      module,
      kind: module.slice(module.lastIndexOf(".") + 1),
      rows: end - first,
      ...(!isPlain && { order }),
      start: first,
      ...(bias && { bias }),
      ...(matrices.every(({ role }) => role === "a" || role === "b") && { perHead: true }),
    };
  });
  return { parts, width: roundUp(start + rows, 16) };
}

/** The path of the module whose weight a tensor is. */
function moduleOf(tensor: string): string {
  return tensor.replace(/\.weight$/, "");
}
