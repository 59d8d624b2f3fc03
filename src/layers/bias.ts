/**
 * The biases of a merged linear layer: one vector, laid out like the columns of its output, zero
 * between the parts and where a part has none. They stay in f32 whatever the weight is stored in.
 *
 * @module
 */

import { asVector, columnsOf, type Matrix } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import type { GemmOptions } from "../kernels/gemm/gemm.ts";
import { addColumnSums } from "../kernels/rows/column_sums.ts";
import type { LinearPart, LinearSpec } from "./linear_spec.ts";
import type { AdaptedLayers, DenseWeight, Linear } from "./method.ts";
import { outFeaturesOf, toMerged, toStored } from "./row_order.ts";
import type { WeightSource } from "./weight_source.ts";

/** The parts that have a bias. */
export function biasedParts({ parts }: LinearSpec): LinearPart[] {
  return parts.filter(({ bias }) => bias);
}

/** Name of the Hugging Face parameter that is the bias of a linear layer. */
export function biasName({ module }: LinearPart): string {
  return `${module}.bias`;
}

/** Makes the biases of a layer, [1, width], as `layers` keep what is no matrix; null for none. */
export function makeBias(
  layers: Pick<AdaptedLayers, "dense">,
  spec: LinearSpec,
): DenseWeight | null {
  return biasedParts(spec).length > 0 ? layers.dense(`${spec.name}.bias`, spec.width) : null;
}

/** The biases of a layer, and where they belong. */
type Biased = Pick<Linear, "spec" | "bias">;

/** What the product of a layer takes of its biases: nothing where there are none. */
export function biasOperand({ spec, bias }: Biased): Pick<GemmOptions, "bias" | "biasFactor"> {
  return bias ? { bias: asVector(bias.value()), biasFactor: spec.outputFactor } : {};
}

/** Fills the biases of a layer, if it has any, from a model's files. */
export async function loadBias(
  device: Device,
  { spec, bias }: Biased,
  source: WeightSource,
): Promise<void> {
  for (const part of biasedParts(spec)) {
    const shape = [1, outFeaturesOf(part)] as const;
    const values = source.fill
      ? await madeByGpu(device, source, biasName(part), shape)
      : await source.rows(biasName(part), shape, 0, 1);
    device.write(bias!.value(), toMerged(part, values), 4 * part.start);
  }
}

/** A vector that a source makes on the GPU. It has gaps to get, which only the host can give it. */
async function madeByGpu(
  device: Device,
  source: WeightSource,
  name: string,
  [rows, cols]: readonly [number, number],
): Promise<Float32Array<ArrayBuffer>> {
  const made = device.matrix(rows, cols, "f32", "bias", "model");
  try {
    await submitOnce(device, (program) => source.fill!(program, name, made));
    return await device.readMatrix(made);
  } finally {
    device.free(made);
  }
}

/**
 * Reads the bias of a part as the model stores it, or its gradient: f32 [outFeatures]. The part must
 * have one.
 */
export async function readBias(
  device: Device,
  { bias }: Biased,
  part: LinearPart,
  of: keyof DenseWeight = "value",
): Promise<Float32Array<ArrayBuffer>> {
  const merged = await device.readMatrix(bias![of]!());
  return toStored(part, merged.slice(part.start, part.start + part.rows));
}

/**
 * Records adding the gradient of a layer's biases, where they are trained: the column sums of that of
 * its output, times the layer's factor.
 *
 * @param dOutput f32 [tokens, width]
 */
export function recordBiasGradient(
  program: Program,
  { spec, bias }: Biased,
  dOutput: Matrix,
): void {
  const gradient = bias?.gradient?.();
  if (!gradient) return;
  for (const { start, rows } of biasedParts(spec)) {
    const [input, out] = [dOutput, gradient].map((matrix) => columnsOf(matrix, start, rows));
    addColumnSums(program, { input, out, alpha: spec.outputFactor });
  }
}
