/**
 * Golden values: what transformers and PEFT compute in float32, to hold this project against. Those of
 * `tests/golden/` are in the repository; those of larger models lie beside it, and their tests are
 * skipped with a line where they are absent.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { PeftAdapter } from "../../src/io/peft.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { type ModelConfig, readModelConfig } from "../../src/model/config.ts";
import { shared, sharedTest } from "./io.ts";

/** The folder of golden values that is in the repository. */
export const golden: string = new URL("../golden/", import.meta.url).pathname;

/** How far f32 on a GPU may be from transformers' f32: most reach a tenth of it or less. */
export const TOLERANCE = {
  /** Of every logit, absolute. */
  logit: 2e-4,
  /** Of a loss in nats, absolute. */
  loss: 1e-5,
  /** Of the gradient of every parameter: norm of the difference by norm of the gradient. */
  gradient: 1e-4,
} as const;

/** The same where attention multiplies on tensor cores, whose operands are f16. */
export const TENSOR_TOLERANCE: Record<keyof typeof TOLERANCE, number> = {
  logit: 2e-2,
  loss: 1e-3,
  gradient: 1e-2,
};

/** A model whose values are known. */
export interface GoldenModel {
  /** Said in the names of tests. */
  name: string;
  /** Its Hugging Face folder. */
  folder: string;
  /** The safetensors file of what is known. */
  values: string;
  /** Defines a test that needs its files. */
  test: (name: string, test: () => Promise<void>) => void;
}

/** Models of random weights, in the repository. */
export const SMALL_MODELS: readonly GoldenModel[] = ["llama3", "mistral", "llama2"].map((name) => ({
  name,
  folder: `${golden}${name}`,
  values: `${golden}${name}/golden.safetensors`,
  test: Deno.test,
}));

/** Those, and trained ones beside the repository. */
export const MODELS: readonly GoldenModel[] = [
  ...SMALL_MODELS,
  ...["stories260K", "babyllama-0.97M"].map((name) => ({
    name,
    folder: `${shared}models/${name}`,
    values: `${shared}golden/golden-${name}-open.safetensors`,
    test: sharedTest,
  })),
];

/** A run of LoRA by PEFT on all linear layers: AdamW at 1e-3. */
export interface GoldenLora extends GoldenModel {
  /** What gradients are clipped to; 0 for not at all. */
  maxGradNorm: number;
  /** The scale of the adapters is `alpha / rank`. */
  alpha: number;
  /**
   * The bound of every trained factor: norm of the difference by norm of the factor. What is off is
   * mostly where the first gradient is so near zero that rounding decides the sign of AdamW's step;
   * the run in the repository was chosen to have none of that.
   */
  factorTolerance: number;
}

/** The runs: one in the repository, and one beside it. */
export const LORA_RUNS: readonly GoldenLora[] = [
  {
    ...MODELS.find(({ name }) => name === "llama3")!,
    values: `${golden}llama3/peft-lora.safetensors`,
    alpha: 8,
    maxGradNorm: 1,
    factorTolerance: 3e-5,
  },
  {
    ...MODELS.find(({ name }) => name === "stories260K")!,
    values: `${shared}golden/peft-lora-stories260K.safetensors`,
    alpha: 16,
    maxGradNorm: 1,
    factorTolerance: 2e-4,
  },
];

/**
 * Reads every tensor of a safetensors file of F32 and I32 tensors.
 *
 * @returns The values by name, in f64.
 */
export async function readTensors(path: string): Promise<Map<string, Float64Array>> {
  using file = await SafetensorsFile.open(path);
  const tensors = new Map<string, Float64Array>();
  for (const name of file.tensors.keys()) tensors.set(name, await readValues(file, name));
  return tensors;
}

async function readValues(file: SafetensorsFile, name: string): Promise<Float64Array> {
  const { buffer } = await file.read(name);
  const isInteger = file.tensors.get(name)!.dtype === "I32";
  return Float64Array.from(isInteger ? new Int32Array(buffer) : new Float32Array(buffer));
}

/** Reads a model's config, and its parameters in f64. */
export async function readModel(
  { folder }: GoldenModel,
): Promise<{ config: ModelConfig; parameters: Map<string, Float64Array> }> {
  const config = await readModelConfig(folder);
  return { config, parameters: await readTensors(`${folder}/model.safetensors`) };
}

/** What transformers computes for one sequence. */
export interface GoldenCase {
  /** Such as "case 0". */
  name: string;
  inputIds: Float64Array;
  labels: Float64Array;
  /** [inputIds.length, vocabSize] */
  logits: Float64Array;
  /** Mean over the targets, in nats. */
  loss: number;
  /** By parameter; empty for a case without. */
  gradients: Map<string, Float64Array>;
}

/** Reads the cases of a model: at least two, and the gradients of at least one. */
export async function readCases({ values }: GoldenModel): Promise<GoldenCase[]> {
  const tensors = await readTensors(values);
  const cases: GoldenCase[] = [];
  for (let i = 0; tensors.has(`case${i}.input_ids`); i++) {
    const of = (name: string) => tensors.get(`case${i}.${name}`)!;
    const prefix = `case${i}.grad.`;
    const gradients = [...tensors].filter(([name]) => name.startsWith(prefix));
    cases.push({
      name: `case ${i}`,
      inputIds: of("input_ids"),
      labels: of("labels"),
      logits: of("logits"),
      loss: of("loss")[0],
      gradients: new Map(gradients.map(([name, value]) => [name.slice(prefix.length), value])),
    });
  }
  assert(cases.length >= 2, values);
  return cases;
}

/** Reads a prompt, and the likeliest tokens after it: each by a pass over all that stand before. */
export async function readGreedy(
  { values }: GoldenModel,
): Promise<{ prompt: number[]; tokens: number[] }> {
  const tensors = await readTensors(values);
  const [prompt, tokens] = ["prompt", "tokens"].map((name) => [...tensors.get(`greedy.${name}`)!]);
  return { prompt, tokens };
}

/** What PEFT started from, saw, and arrived at. */
export interface GoldenLoraValues {
  init: PeftAdapter;
  final: PeftAdapter;
  /** [steps][rows][tokens]; the labels are the ids. */
  batches: number[][][];
  /** Of every step before its update, in nats. */
  losses: Float64Array;
}

/** Reads a run of LoRA. */
export async function readLora({ values, alpha }: GoldenLora): Promise<GoldenLoraValues> {
  using file = await SafetensorsFile.open(values);
  const ids = await readValues(file, "batches");
  const [steps, rows, tokens] = file.tensors.get("batches")!.shape;
  const batches = Array.from(
    { length: steps },
    (_, step) =>
      Array.from({ length: rows }, (_, row) => {
        const first = (step * rows + row) * tokens;
        return [...ids.subarray(first, first + tokens)];
      }),
  );
  const losses = await readValues(file, "losses");
  assertEquals(losses.length, steps);
  const [init, final] = [
    await readAdapter(file, "init", alpha),
    await readAdapter(file, "final", alpha),
  ];
  return { init, final, batches, losses };
}

/** Reads the adapter under `prefix`, in the order of the file. */
async function readAdapter(
  file: SafetensorsFile,
  prefix: string,
  alpha: number,
): Promise<PeftAdapter> {
  const tensors: PeftAdapter["tensors"] = new Map();
  let rank = 0;
  for (const { name, shape } of file.tensors.values()) {
    const match = name.match(/^(\w+)\.base_model\.model\.(.+)\.lora_A\.default\.weight$/);
    if (match?.[1] !== prefix) continue;
    const other = name.replace("lora_A", "lora_B");
    const [A, B] = [await readValues(file, name), await readValues(file, other)];
    const inFeatures = shape[1];
    const outFeatures = file.tensors.get(other)!.shape[0];
    rank = shape[0];
    tensors.set(match[2], {
      A: Float32Array.from(A),
      B: Float32Array.from(B),
      inFeatures,
      outFeatures,
    });
  }
  const kinds = [...tensors.keys()].map((module) => module.split(".").at(-1)!);
  const targetModules = [...new Set(kinds)];
  assertEquals(tensors.size % targetModules.length, 0);
  return { config: { rank, alpha, useRslora: false, targetModules }, tensors };
}

/** The largest difference of any two values; NaN if there is one. */
export function largestDifference(got: ArrayLike<number>, want: Float64Array): number {
  assertEquals(got.length, want.length);
  return want.reduce((max, value, i) => Math.max(max, Math.abs(value - got[i])), 0);
}
