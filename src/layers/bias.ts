/**
 * The biases of a merged linear layer: one vector, laid out like the columns of its output, zero
 * between the parts and where a part has none. They stay in f32 whatever the weight is stored in.
 *
 * @module
 */

import { asVector, columnsOf, type Matrix, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { addColumnSums } from "../kernels/rows/column_sums.ts";
import type { LinearPart, LinearSpec, StoredBias } from "./linear_spec.ts";
import type { AdaptedLayers, DenseWeight, Linear } from "./method.ts";
import type { WeightSource } from "./weight_source.ts";

/** A part that has a bias. */
type BiasedPart = LinearPart & { bias: StoredBias };

function biasedParts({ parts }: LinearSpec): BiasedPart[] {
  return parts.filter((part): part is BiasedPart => part.bias !== undefined);
}

/** Makes the biases of a layer, [1, width], as `layers` keep what is no matrix; null for none. */
export function makeBias(
  layers: Pick<AdaptedLayers, "dense">,
  spec: LinearSpec,
): DenseWeight | null {
  return biasedParts(spec).length > 0 ? layers.dense(`${spec.name}.bias`, 1, spec.width) : null;
}

/** The biases of a layer as a GEMM takes them, f32 [width]. */
export function biasVector(bias: DenseWeight | null): Vector | undefined {
  return bias ? asVector(bias.value()) : undefined;
}

/** The biases of a layer, and where they belong. */
type Biased = Pick<Linear, "spec" | "bias">;

/** Fills the biases of a layer, if it has any, from a model's files. */
export async function loadBias(
  device: Device,
  { spec, bias }: Biased,
  source: WeightSource,
): Promise<void> {
  const target = bias?.value();
  if (!target) return;
  for (const { rows, start, bias: { name, firstRow, length } } of biasedParts(spec)) {
    const place = { ...target, offset: target.offset + 4 * start, size: 4 * rows };
    if (source.fill) {
      await submitOnce(device, (program) => {
        const values = program.scratch(1, rows, "bias");
        source.fill!(program, name, values);
        program.copy({ ...values, size: place.size }, place);
      });
      continue;
    }
    const values = await source.rows(name, [1, length], 0, 1);
    device.write(target, values.slice(firstRow, firstRow + rows), 4 * start);
  }
}

/** The vectors in which a model stores the biases of a layer: their lengths by name. */
export function biasLengths(spec: LinearSpec): Map<string, number> {
  return new Map(biasedParts(spec).map(({ bias: { name, length } }) => [name, length]));
}

/** Reads the biases of a layer, or their gradients, that a model stores as the vector `name`. */
export async function readBias(
  device: Device,
  { spec, bias }: Biased,
  name: string,
  of: keyof DenseWeight = "value",
): Promise<Float32Array<ArrayBuffer>> {
  const columns = await device.readMatrix(bias![of]!());
  const values = new Float32Array(biasLengths(spec).get(name)!);
  for (const { rows, start, bias: { name: vector, firstRow } } of biasedParts(spec)) {
    if (vector === name) values.set(columns.subarray(start, start + rows), firstRow);
  }
  return values;
}

/**
 * Records adding the gradient of a layer's biases, where they are trained: the column sums of that of
 * its output.
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
    addColumnSums(program, { input, out });
  }
}
