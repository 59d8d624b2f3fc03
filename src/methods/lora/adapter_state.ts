/**
 * What the adapters of a layer are at the moment: read for a PEFT folder, or merged into the weight.
 *
 * @module
 */

import { rowsOf } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import { uploadRows } from "../../layers/load.ts";
import { outFeaturesOf, toMerged, toStored } from "../../layers/row_order.ts";
import { setRowNorms } from "../../numerics/vector.ts";
import type { AdapterLayout } from "../targets.ts";
import type { Magnitudes, PartFactors } from "./magnitudes.ts";

/** The adapters of a layer. */
export interface AdapterState {
  device: Device;
  spec: LinearSpec;
  layout: AdapterLayout;
  /** Of each adapted part. */
  factors: readonly PartFactors[];
  magnitudes: Magnitudes | null;
  /** The adapter that training began with, whose own alphas stay. */
  given?: PeftAdapter;
}

/** Reads the adapters by module. */
export async function readAdapter(
  { device, spec: { inFeatures }, layout, factors, magnitudes, given }: AdapterState,
): Promise<PeftAdapter["tensors"]> {
  const tensors: PeftAdapter["tensors"] = new Map();
  for (const [i, { part }] of layout.parts.entries()) {
    const [A, B] = [
      await device.readMatrix(factors[i].a),
      toStored(part, await device.readMatrix(factors[i].b)),
    ];
    const alpha = given?.tensors.get(part.module)?.alpha;
    const magnitude = await magnitudes?.read(i);
    tensors.set(part.module, {
      A,
      B,
      inFeatures,
      outFeatures: outFeaturesOf(part),
      ...(alpha !== undefined && { alpha }),
      ...(magnitude && { magnitude }),
    });
  }
  return tensors;
}

/**
 * Adds c·B·A of part `index` to its weight, f32 [outFeatures, inFeatures], and gives its rows their
 * magnitudes; does nothing for a part without adapter.
 */
export async function mergeAdapter(
  { device, spec: { inFeatures }, layout, factors, magnitudes }: AdapterState,
  index: number,
  weight: Float32Array<ArrayBuffer>,
): Promise<Float32Array<ArrayBuffer>> {
  const at = layout.parts.findIndex((adapted) => adapted.index === index);
  if (at < 0) return weight;
  const { part } = layout.parts[at];
  const { a, b, scale: alpha } = factors[at];
  const merged = device.matrix(part.rows, inFeatures, "f32", "merged weight", "model");
  uploadRows(device, merged, 0, toMerged(part, weight));
  await submitOnce(device, (program) => {
    gemm(program, { layout: "nn", a: b, b: a, out: merged, alpha, accumulate: true });
  });
  const values = await device.readMatrix(rowsOf(merged, 0, part.rows));
  device.free(merged);
  const changed = toStored(part, values);
  if (magnitudes) setRowNorms(changed, await magnitudes.read(at));
  return changed;
}
