/**
 * The tensors of a network as a model folder holds them: as they are, or in another format.
 *
 * @module
 */

import { fromFloat32 } from "../io/dtype.ts";
import type { TensorSource } from "../io/safetensors.ts";
import { biasedParts, biasName, readBias } from "../layers/bias.ts";
import { weightName } from "../layers/load.ts";
import type { Linear } from "../layers/method.ts";
import type { SavedModel } from "../layers/saved.ts";
import { PRECISIONS } from "../layers/operand.ts";
import { readSlabs } from "../layers/named_dense.ts";
import { outFeaturesOf } from "../layers/row_order.ts";
import type { Network } from "../model/network.ts";
import { hadamardMatrix } from "../model/stored_transforms.ts";
import { transformTensor } from "../model/transform_config.ts";
import { type EncodedRows, encodeRows } from "../numerics/encode_rows.ts";
import { tensorStream } from "../numerics/stochastic.ts";

/** How a network is written. */
export interface Form {
  /** What its folder holds. */
  model: SavedModel;
  /** Whether weights are taken as the method has them; else they are rounded anew. */
  asStored: boolean;
  /** Whether codes that are stored rotated stay so, and config.json says it. */
  rotated: boolean;
  /** Seeds the random bits of what is rounded stochastically. */
  seed: number;
}

/** Embedding, norms and head. */
export function denseTensors(network: Network, { model: { dtype } }: Form): TensorSource[] {
  return [...network.dense].map(([name, table]) => ({
    name,
    dtype,
    shape: table.rows > 1 ? [table.rows, table.cols] : [...table.shape ?? [table.cols]],
    async *data() {
      for await (const slab of readSlabs(network.device, table)) yield fromFloat32(slab, dtype);
    },
  }));
}

/** The biases of a linear layer, which are never quantised. */
export function biasTensors(
  { device }: Network,
  linear: Linear,
  { model: { dtype } }: Form,
): TensorSource[] {
  return biasedParts(linear.spec).map((part) => ({
    name: biasName(part),
    dtype,
    shape: [outFeaturesOf(part)],
    data: async () => fromFloat32(await readBias(device, linear, part), dtype),
  }));
}

/** Whether a linear layer is written as codes where others are: not one that is stored as values. */
function isCoded(linear: Linear, { asStored }: Form): boolean {
  return !asStored || linear.stored !== undefined;
}

/** The modules whose weights are written as values beside others that are codes. */
export function unquantizedModules(network: Network, form: Form): string[] {
  return network.linears().filter((linear) => !isCoded(linear, form))
    .flatMap(({ spec: { parts } }) => parts.map(({ module }) => module));
}

/** The weights of a linear layer. */
export async function linearTensors(linear: Linear, form: Form): Promise<TensorSource[]> {
  const { dtype, codes: stored } = form.model;
  const { inFeatures, parts } = linear.spec;
  const tensors: TensorSource[] = [];
  for (const [index, part] of parts.entries()) {
    const name = weightName(part);
    const outFeatures = outFeaturesOf(part);
    const shape = [outFeatures, inFeatures];
    if (stored === null || !isCoded(linear, form)) {
      const data = async () => fromFloat32(await linear.readWeight(index), dtype);
      tensors.push({ name, dtype, shape, data });
      continue;
    }
    const { codes, scales } = form.asStored
      ? await linear.stored!(index)
      : await encodePart(linear, index, form);
    tensors.push({ name, dtype: PRECISIONS[stored.format].input.dtype, shape, data: () => codes }, {
      name: `${name}_scale`,
      dtype: "F32",
      // One for all rows is written for each, as not every tool reads it otherwise.
      shape: [outFeatures, 1],
      data: () => fromFloat32(perRow(scales, outFeatures), "F32"),
    });
  }
  return tensors;
}

function perRow(scales: Float32Array<ArrayBuffer>, rows: number): Float32Array<ArrayBuffer> {
  return scales.length === rows ? scales : new Float32Array(rows).fill(scales[0]);
}

async function encodePart(
  linear: Linear,
  index: number,
  { model: { codes }, seed }: Form,
): Promise<EncodedRows> {
  const { format, granularity } = codes!;
  const { inFeatures, parts } = linear.spec;
  const stream = tensorStream(seed, weightName(parts[index]));
  const values = await linear.readWeight(index);
  return encodeRows(values, inFeatures, PRECISIONS[format].input, { granularity, stream });
}

/** The kinds of layers that are rotated, by block size. */
export function rotatedKinds(network: Network): Map<number, string[]> {
  const kinds = new Map<number, Set<string>>();
  for (const { rotation, spec } of network.linears()) {
    if (rotation === 1) continue;
    const names = kinds.get(rotation) ?? new Set();
    for (const { kind } of spec.parts) names.add(kind);
    kinds.set(rotation, names);
  }
  return new Map([...kinds].map(([size, names]) => [size, [...names]]));
}

/** The matrices of the rotations, for tools that take them from the files: one per block size. */
export function rotationTensors(network: Network): TensorSource[] {
  return [...rotatedKinds(network).keys()].map((size) => {
    const { spec } = network.linears().find(({ rotation }) => rotation === size)!;
    return {
      name: transformTensor(spec.parts[0].module, size),
      dtype: "F32",
      shape: [size, size],
      data: () => fromFloat32(hadamardMatrix(size), "F32"),
    };
  });
}
