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
import { expectCountable, MOST } from "./accepted_sizes.ts";
import { refuseUnclaimed } from "./claimed_fields.ts";
import { FAMILIES, MODEL_TYPES, type Wrapper, WRAPPERS } from "./families/registry.ts";
import { attentionOf, type ModelPlan } from "./plan.ts";
import { planTensorShapes, renameTensors } from "./plan_tensors.ts";
import type { QuantizationConfig } from "./quantization_config.ts";
import { parseQuantizationConfig } from "./read_quantization.ts";
import type { RopeScaling } from "./rope_scaling.ts";
import { expectSupported } from "./support.ts";

export { quantizationBlock, type QuantizationConfig } from "./quantization_config.ts";

/** The architecture and the special tokens of a decoder. */
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
  /** Components of a head: even, from 8 to 512. */
  readonly headDim: number;
  /** Added to the mean square in RMSNorm. */
  readonly rmsNormEps: number;
  /** The base of the rotary frequencies of the last layer that rotates; 0 if none does. */
  readonly ropeTheta: number;
  /** How these frequencies are scaled. */
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
  const file = new JsonFields(json, where);
  const { modelType, fields, plan } = planConfig(file);
  expectSupported(plan, fields);
  expectCountable(plan, fields.where);
  const { vocabSize } = plan;
  const ids = (name: string, absent?: number) => tokenIds(fields, name, vocabSize, absent);
  const config = {
    modelType,
    architectures: [file.raw("architectures")].flat().filter((name) => typeof name === "string"),
    ...sizesOf(plan),
    maxPositionEmbeddings: fields.integer("max_position_embeddings", 1, 2048, MOST.tokens),
    bosTokenId: ids("bos_token_id", 1)[0] ?? null,
    eosTokenIds: ids("eos_token_id", 2),
    padTokenId: ids("pad_token_id")[0] ?? null,
    quantization: file.has("quantization_config")
      ? parseQuantizationConfig(file.object("quantization_config"), plan)
      : null,
    plan,
  };
  fields.raw("quantization_config");
  fields.raw("architectures");
  refuseUnclaimed(fields, plan);
  return config;
}

/**
 * Plans a config, whether the kernels can compute the plan or not.
 *
 * @throws {ModelError} for a family that is not known, or fields that contradict each other.
 */
export function planConfig(file: JsonFields): Planned & { modelType: string } {
  const modelType = expectKnown(file, MODEL_TYPES);
  const planned = Object.hasOwn(WRAPPERS, modelType)
    ? planWrapped(file, WRAPPERS[modelType])
    : planText(file.json, file.where, modelType);
  return { modelType, ...planned };
}

/**
 * The `model_type` of a config.
 *
 * @throws {ModelError} if it is none of those there are.
 */
function expectKnown(fields: JsonFields, known: readonly string[], absent?: string): string {
  const modelType = fields.raw("model_type") ?? absent;
  if (typeof modelType === "string" && known.includes(modelType)) return modelType;
  throw fields.error(
    "model_type",
    `one of ${known.join(", ")}`,
    "choose a model of one of these families (docs/MODELS.md says which those are), or ask for " +
      "this one in an issue of the project",
  );
}

/** A config of a text model, and its plan. */
interface Planned {
  fields: JsonFields;
  plan: ModelPlan;
}

function planText(json: Record<string, unknown>, where: string, modelType: string): Planned {
  const { plan, defaults } = FAMILIES[modelType];
  const fields = new JsonFields(json, where, defaults);
  fields.raw("model_type");
  if (fields.has("text_config")) {
    throw fields.error(
      "text_config",
      "absent",
      `a model_type with one is ${Object.keys(WRAPPERS).join(" or ")}: restore the config.json ` +
        "that the model was published with",
    );
  }
  return { fields, plan: plan(fields) };
}

/** Plans the text model of a model of texts and images, under the names that transformers gives it. */
function planWrapped(file: JsonFields, { textType, tied }: Wrapper): Planned {
  const text = file.object("text_config");
  const modelType = expectKnown(text, Object.keys(FAMILIES), textType);
  const tie_word_embeddings = file.boolean("tie_word_embeddings", tied);
  // Where both have special tokens, transformers takes those of the whole model.
  const tokens = Object.fromEntries(
    SPECIAL_TOKENS.filter((name) => file.has(name)).map((name) => [name, file.json[name]]),
  );
  const json = { ...text.json, ...tokens, tie_word_embeddings };
  const { fields, plan } = planText(json, text.where, modelType);
  const rename = (name: string) => name.replace(/^model\./, "model.language_model.");
  return { fields, plan: renameTensors(plan, rename) };
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

/**
 * The same model with only the first block of each mixer.
 *
 * @internal
 */
export function firstOfEachKind(config: ModelConfig): ModelConfig {
  const { layers } = config.plan;
  const first = new Set([
    layers.find(({ attention }) => attention),
    layers.find(({ deltaNet }) => deltaNet),
  ]);
  return firstLayers(
    { ...config, plan: { ...config.plan, layers: layers.filter((layer) => first.has(layer)) } },
    first.size,
  );
}

/** What a plan says in one number each: of layers that differ in size, the first one's. */
function sizesOf({ vocabSize, hiddenSize, layers, finalNorm, head }: ModelPlan) {
  const [{ mlp }] = layers;
  const { heads, kvHeads, headDim } = attentionOf({ layers })!;
  const rope = layers.map(({ attention }) => attention?.rope).findLast((rope) => rope);
  return {
    vocabSize,
    hiddenSize,
    intermediateSize: mlp.width,
    numLayers: layers.length,
    numHeads: heads,
    numKeyValueHeads: kvHeads,
    headDim,
    rmsNormEps: finalNorm.eps,
    ropeTheta: rope?.theta ?? 0,
    ropeScaling: rope?.scaling ?? null,
    tieWordEmbeddings: head.tied,
  };
}

/** The fields of special tokens. */
const SPECIAL_TOKENS = ["bos_token_id", "eos_token_id", "pad_token_id"];

/**
 * The ids under `name`: one, several, or none. What a class has by default does not count beyond the
 * vocabulary: that is of another size then.
 */
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
  if (!fields.isGiven(name)) return (ids as number[]).filter((id) => id < vocabSize);
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
