/**
 * Quantised checkpoints of others, decoded and run by the oracle, against transformers: whatever family
 * they are of.
 */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { JsonFields, readJson } from "../../src/io/json.ts";
import { Weights } from "../../src/io/weights.ts";
import { FolderSource } from "../../src/layers/weight_source.ts";
import { readCodedMatrices } from "../../src/model/coded_matrices.ts";
import { planConfig } from "../../src/model/config.ts";
import type { ModelPlan } from "../../src/model/plan.ts";
import { planTensorShapes } from "../../src/model/plan_tensors.ts";
import { spellAsPlanned } from "../../src/model/tensor_names.ts";
import { parseQuantizationConfig } from "../../src/model/read_quantization.ts";
import { rotateValues } from "../../src/numerics/hadamard.ts";
import { largestDifference, readTensors } from "../support/golden.ts";
import { shared, sharedTest } from "../support/io.ts";
import { crossEntropy, shiftLabels } from "./loss.ts";
import { ReferenceModel } from "./model.ts";
import { decodeBlocks } from "./scale_grid.ts";
import { packDocuments } from "./token_stream.ts";

/** How many linear layers of each are stored as codes. */
const CHECKPOINTS: Record<string, number> = {
  "ct-fp8-block": 14,
  "ct-fp8-block-qwen3": 7,
  "ct-fp8-block-ragged": 14,
  "ct-fp8-dynamic": 35,
  "ct-fp8-dynamic-bf16": 14,
  "ct-fp8-dynamic-qwen3": 14,
  "ct-fp8-ignore": 29,
  "ct-fp8-static": 35,
  "ct-fp8-static-qwen3": 14,
  "ct-fp8-transform": 35,
  "ct-w8a8": 35,
  "ct-w8a8-qwen3": 14,
  "fp8-block": 14,
  "fp8-block-qwen3": 7,
  "fp8-block-ragged": 14,
  "fp8-tensor-static": 35,
  "fp8-tensor-static-ministral3": 14,
};

/** The parameters of a folder in f64, by the names of the plan. */
async function readParameters(
  folder: string,
  plan: ModelPlan,
  file: JsonFields,
  codedCount: number,
): Promise<Map<string, Float64Array>> {
  using weights = await Weights.open(folder);
  const shapes = planTensorShapes(plan);
  spellAsPlanned(weights, plan);
  const quantization = parseQuantizationConfig(file.object("quantization_config"), plan);
  const { matrices: coded } = await readCodedMatrices(weights, plan, quantization);
  assertEquals(coded.size, codedCount);
  const { rotations } = quantization.transforms;
  const source = new FolderSource(weights, { coded, rotations });
  const parameters = new Map<string, Float64Array>();
  for (const [name, [rows, cols]] of shapes) {
    const shape = cols === undefined ? [1, rows] as const : [rows, cols] as const;
    const stored = await source.codes(name, shape);
    let values = stored
      ? decodeBlocks(stored.format, stored.codes, shape[1], stored.grid.scales, stored.grid.block)
      : Float64Array.from(await source.rows(name, shape, 0, shape[0]));
    if (stored && stored.rotation > 1) {
      values = Float64Array.from(rotateValues(Float32Array.from(values), stored.rotation));
    }
    parameters.set(name, values);
  }
  return parameters;
}

for (const [name, codedCount] of Object.entries(CHECKPOINTS)) {
  sharedTest(`${name}: the decoded weights give transformers' logits and loss`, async () => {
    const folder = join(shared, "golden/checkpoints", name);
    const file = new JsonFields(await readJson(join(folder, "config.json")), '"config.json"');
    const { plan } = planConfig(file);
    const parameters = await readParameters(folder, plan, file, codedCount);
    const model = new ReferenceModel({ plan }, parameters);
    const values = await readTensors(join(folder, "golden.safetensors"));
    const ids = values.get("input_ids")!;
    const rows = Array.from({ length: 3 }, (_, row) => ids.subarray(row * 24, (row + 1) * 24));
    const tokens = packDocuments(rows);
    const got = model.logits(tokens);
    const worst = largestDifference(got, values.get("logits")!);
    assert(worst < 1e-4, `a logit is off by ${worst}`);
    const { lossSum, count } = crossEntropy(got, shiftLabels(ids, tokens.documentStart), 1);
    assertAlmostEquals(lossSum / count, values.get("loss")![0], 5e-6);
  });
}
