/**
 * A model's configuration, read from the `config.json` of a Hugging Face folder: the plan of its
 * architecture, made by its family, and a view of it for users. What this package cannot run is
 * refused here, before any weight is read.
 *
 * @module
 */

import { join } from "node:path";
import { exists } from "../io/exists.ts";
import { JsonFields, readJson } from "../io/json.ts";
import { refuseUnclaimed } from "./claimed_fields.ts";
import { FAMILIES } from "./families/registry.ts";
import { type ModelPlan, planTensorShapes } from "./plan.ts";
import type { QuantizationConfig } from "./quantization_config.ts";
import { parseQuantizationConfig } from "./read_quantization.ts";
import type { RopeScaling } from "./rope_config.ts";
import { expectSupported } from "./support.ts";

export { quantizationBlock, type QuantizationConfig } from "./quantization_config.ts";
export { ropeInverseFrequencies, type RopeScaling } from "./rope_config.ts";

/** The architecture and the special tokens of a LLaMA-family decoder. */
export interface ModelConfig {
  /** The family, such as `llama`. */
  readonly modelType: string;
  /** The classes of transformers that the file names; may be empty. */
  readonly architectures: readonly string[];
  /** Rows of the embedding. */
  readonly vocabSize: number;
  /** Components of the residual stream. */
  readonly hiddenSize: number;
  /** Components inside the feed-forward network. */
  readonly intermediateSize: number;
  /** Decoder blocks. */
  readonly numLayers: number;
  /** Query heads. */
  readonly numHeads: number;
  /** Key and value heads; each serves `numHeads / numKeyValueHeads` query heads. */
  readonly numKeyValueHeads: number;
  /** Components of a head: even, from 8 to 128. */
  readonly headDim: number;
  /** Added to the mean square in RMSNorm. */
  readonly rmsNormEps: number;
  /** The base of the rotary frequencies. */
  readonly ropeTheta: number;
  /** How the rotary frequencies are scaled. */
  readonly ropeScaling: RopeScaling;
  /** Whether the output projection is the embedding, so that no `lm_head.weight` is stored. */
  readonly tieWordEmbeddings: boolean;
  /** The longest sequence the model was made for, in tokens. */
  readonly maxPositionEmbeddings: number;
  /** The token that begins a text, if the model has one. */
  readonly bosTokenId: number | null;
  /** The tokens that end a text; may be empty. */
  readonly eosTokenIds: readonly number[];
  /** The token that fills up short rows, if the model has one. */
  readonly padTokenId: number | null;
  /** How the linear layers are quantized; null when they are not. */
  readonly quantization: QuantizationConfig | null;
  /**
   * The architecture in full, layer by layer, which the sizes above are taken from.
   *
   * @internal
   */
  readonly plan: ModelPlan;
}

/**
 * Reads `config.json` of a model folder. Where there is a `generation_config.json`, its
 * end-of-text tokens count too: chat models name the end of a turn only there.
 *
 * @throws {FileError} if a file is missing or not JSON.
 * @throws {ModelError} if the model is not supported.
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  const path = join(folder, "config.json");
  const config = parseModelConfig(await readJson(path), `"${path}"`);
  const generationPath = join(folder, "generation_config.json");
  if (!await exists(generationPath)) return config;
  const generation = new JsonFields(await readJson(generationPath), `"${generationPath}"`);
  const more = tokenIds(generation, "eos_token_id", config.vocabSize);
  return { ...config, eosTokenIds: [...new Set([...config.eosTokenIds, ...more])] };
}

/**
 * Checks and translates the content of a `config.json`.
 *
 * @param json The parsed file.
 * @param where Its path in quotes, for messages.
 * @throws {ModelError} if the model is not supported, or the config contradicts itself.
 */
export function parseModelConfig(json: unknown, where: string): ModelConfig {
  const fields = new JsonFields(json, where);
  const modelType = fields.raw("model_type");
  const known = typeof modelType === "string" && Object.hasOwn(FAMILIES, modelType);
  if (!known) {
    throw fields.error(
      "model_type",
      Object.keys(FAMILIES).join(" or "),
      "choose a model of one of these architectures, such as Llama 2 or 3, SmolLM2, TinyLlama or " +
        "Mistral 7B v0.3",
    );
  }
  if (fields.has("text_config")) {
    throw fields.error("text_config", "absent", "choose a text model: this one is multimodal");
  }
  const plan = FAMILIES[modelType].plan(fields);
  expectSupported(plan, fields);
  const { vocabSize } = plan;
  const config = {
    modelType,
    architectures: [fields.raw("architectures") ?? []].flat().map(String),
    ...sizesOf(plan),
    maxPositionEmbeddings: fields.integer("max_position_embeddings", 1, 2048),
    bosTokenId: tokenIds(fields, "bos_token_id", vocabSize, 1)[0] ?? null,
    eosTokenIds: tokenIds(fields, "eos_token_id", vocabSize, 2),
    padTokenId: tokenIds(fields, "pad_token_id", vocabSize)[0] ?? null,
    quantization: fields.has("quantization_config")
      ? parseQuantizationConfig(fields.object("quantization_config"), plan)
      : null,
    plan,
  };
  refuseUnclaimed(fields, plan);
  return config;
}

/**
 * The same model with only its first `count` blocks.
 *
 * @internal
 */
export function firstLayers(config: ModelConfig, count: number): ModelConfig {
  const layers = config.plan.layers.slice(0, count);
  return { ...config, numLayers: layers.length, plan: { ...config.plan, layers } };
}

/** What a plan says in one number each. All layers have the same sizes: see `support.ts`. */
function sizesOf({ vocabSize, hiddenSize, layers, finalNorm, head }: ModelPlan) {
  const [{ attention: { heads, kvHeads, headDim, rope }, mlp }] = layers;
  return {
    vocabSize,
    hiddenSize,
    intermediateSize: mlp.width,
    numLayers: layers.length,
    numHeads: heads,
    numKeyValueHeads: kvHeads,
    headDim,
    rmsNormEps: finalNorm.eps,
    ropeTheta: rope!.theta,
    ropeScaling: rope!.scaling,
    tieWordEmbeddings: head.tied,
  };
}

/** The ids under `name`: one, several, or none. */
function tokenIds(
  fields: JsonFields,
  name: string,
  vocabSize: number,
  absent?: number,
): number[] {
  const value = fields.isAbsent(name) ? absent : fields.json[name];
  // Early LLaMA conversions wrote -1 for "none".
  if (value === null || value === undefined || value === -1) return [];
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  for (const id of ids) {
    if (!Number.isSafeInteger(id) || (id as number) < 0 || (id as number) >= vocabSize) {
      throw fields.error(name, `null or token ids below the vocabulary size (${vocabSize})`);
    }
  }
  return ids as number[];
}

/**
 * The name and shape of every parameter of the model, as transformers names them and in the order
 * of the forward pass. Linear weights are `[outFeatures, inFeatures]`.
 */
export function modelTensorShapes({ plan }: Pick<ModelConfig, "plan">): Map<string, number[]> {
  return planTensorShapes(plan);
}
