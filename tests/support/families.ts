/**
 * Golden values of the model families: tiny models of random weights, one of each, beside the repository.
 *
 * @module
 */

import { join } from "node:path";
import type { GoldenLora, GoldenModel } from "./golden.ts";
import { readTensors } from "./golden.ts";
import { shared, sharedTest } from "./io.ts";

/** What each folder is of, by its name: those of text models. */
export const FAMILY_MODELS: readonly GoldenModel[] = goldenModels([
  ...["llama2", "llama3", "smollm2", "mistral", "falcon3", "llama-bias", "seed-oss"],
  ...["mistral-v01", "ministral", "ministral3", "smollm3"],
  ...["qwen2", "qwen2-yarn-swa", "qwen3", "qwen3_5"],
  ...["phi3", "phi4", "phi4-mini"],
  ...["granite", "granite4", "glm4"],
  ...["gemma", "gemma2", "gemma3", "gemma4"],
  ...["olmo2", "olmo3"],
]);

/** Text models inside models of texts and images: their values are those of the text alone. */
export const WRAPPED_MODELS: readonly GoldenModel[] = goldenModels([
  "gemma3-vlm",
  "gemma4-vlm",
  "ministral3-vlm",
  "qwen3_5-vlm",
]);

function goldenModels(names: readonly string[]): GoldenModel[] {
  return names.map((name) => {
    const folder = `${shared}golden/families/${name}`;
    return { name, folder, values: `${folder}/golden.safetensors`, test: sharedTest };
  });
}

/** Runs of LoRA on some of them; phi3's has one adapter on q, k and v, and one on gate and up. */
export const FAMILY_LORA_RUNS: readonly GoldenLora[] = ["llama3", "qwen3", "gemma3", "phi3"]
  .map((name) => {
    const model = FAMILY_MODELS.find((model) => model.name === name)!;
    const values = `${model.folder}/peft-lora.safetensors`;
    return { ...model, values, alpha: 8, maxGradNorm: 0, factorTolerance: 3e-5 };
  });

/** Reads the ids of a prompt, and the likeliest ids after it: each by a pass over all before. */
export async function readFamilyGreedy(
  { values }: GoldenModel,
): Promise<{ prompt: number[]; tokens: number[] }> {
  const tensors = await readTensors(values);
  const [prompt, tokens] = ["input_ids", "greedy"].map((
    name,
  ) => [...tensors.get(`case0.${name}`)!]);
  return { prompt, tokens };
}

/** The configs of a folder: as transformers writes it, and as the hub has older ones. */
export async function readSpellings(folder: string): Promise<Record<string, unknown>[]> {
  const texts = await Promise.all(
    ["config.json", "config-hub.json"].map((name) =>
      Deno.readTextFile(join(folder, name)).catch(() => null)
    ),
  );
  return texts.filter((text) => text !== null).map((text) => JSON.parse(text));
}

/**
 * Copies a model, with the tokenizer that a folder must have, to `to`. No token ends its text: the
 * known ones go on behind any.
 */
export async function copyFamily({ folder }: GoldenModel, to: string): Promise<void> {
  await Deno.copyFile(join(folder, "model.safetensors"), join(to, "model.safetensors"));
  const config = JSON.parse(await Deno.readTextFile(join(folder, "config.json")));
  await Deno.writeTextFile(
    join(to, "config.json"),
    JSON.stringify({ ...config, eos_token_id: null }),
  );
  await Deno.copyFile(`${shared}golden/families/tokenizer.json`, join(to, "tokenizer.json"));
}
