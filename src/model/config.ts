/**
 * The architecture of a model, read from the `config.json` of a Hugging Face folder. What this
 * package cannot run is refused here, before any weight is read.
 *
 * @module
 */

import { join } from "node:path";
import { ModelError } from "../errors.ts";
import { JsonFields, readJson } from "../io/json.ts";
import { parseQuantizationConfig, type QuantizationConfig } from "./quantization_config.ts";
import { parseRope, type RopeScaling } from "./rope_config.ts";

export { fp8QuantizationConfig, type QuantizationConfig } from "./quantization_config.ts";
export { ropeInverseFrequencies, type RopeScaling } from "./rope_config.ts";

/** The architecture of a LLaMA-family decoder. */
export interface ModelConfig {
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
}

/** The head sizes that the attention kernels are built for. */
const HEAD_DIM = { min: 8, max: 128 };
/** More layers than this are a damaged file, not a model: the largest have less than 200. */
const MAX_LAYERS = 1000;

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
  const hasGeneration = await Deno.stat(generationPath).then(() => true, () => false);
  if (!hasGeneration) return config;
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
  const modelType = checkArchitecture(fields);

  const vocabSize = fields.integer("vocab_size", 1);
  const hiddenSize = fields.integer("hidden_size", 1);
  const numLayers = fields.integer("num_hidden_layers", 1);
  if (numLayers > MAX_LAYERS) throw fields.error("num_hidden_layers", `at most ${MAX_LAYERS}`);
  const numHeads = fields.integer("num_attention_heads", 1);
  // Absent, this means the default of the class; null means one for each query head.
  const absentHeads = modelType === "mistral" && !("num_key_value_heads" in fields.json);
  const numKeyValueHeads = fields.integer("num_key_value_heads", 1, absentHeads ? 8 : numHeads);
  if (numHeads % numKeyValueHeads !== 0) {
    throw fields.error("num_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
  }

  return {
    vocabSize,
    hiddenSize,
    intermediateSize: fields.integer("intermediate_size", 1),
    numLayers,
    numHeads,
    numKeyValueHeads,
    headDim: parseHeadDim(fields, hiddenSize, numHeads),
    rmsNormEps: fields.positive("rms_norm_eps", 1e-6),
    ...parseRope(fields),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
    maxPositionEmbeddings: fields.integer("max_position_embeddings", 1, 2048),
    bosTokenId: tokenIds(fields, "bos_token_id", vocabSize, 1)[0] ?? null,
    eosTokenIds: tokenIds(fields, "eos_token_id", vocabSize, 2),
    padTokenId: tokenIds(fields, "pad_token_id", vocabSize)[0] ?? null,
    quantization: fields.has("quantization_config")
      ? parseQuantizationConfig(fields.object("quantization_config"))
      : null,
  };
}

/** Refuses what would compute another graph than LLaMA's; returns the model type. */
function checkArchitecture(fields: JsonFields): string {
  const modelType = fields.raw("model_type");
  if (modelType !== "llama" && modelType !== "mistral") {
    throw fields.error("model_type", "llama or mistral", "choose a model of the LLaMA family");
  }
  // Absent, it is Mistral's default of 4096.
  if (modelType === "mistral" && fields.json.sliding_window !== null) {
    throw fields.error(
      "sliding_window",
      "null",
      "choose a Mistral model that attends to the whole context, as all since 7B v0.2 do",
    );
  }
  if (fields.string("hidden_act", "silu") !== "silu") {
    throw fields.error("hidden_act", "silu", "choose a model with a SwiGLU feed-forward network");
  }
  for (const name of ["attention_bias", "mlp_bias"]) {
    if (fields.boolean(name, false)) {
      throw fields.error(name, "false", "choose a model whose linear layers have no biases");
    }
  }
  return modelType;
}

function parseHeadDim(fields: JsonFields, hiddenSize: number, numHeads: number): number {
  if (!fields.has("head_dim") && hiddenSize % numHeads !== 0) {
    throw fields.error("hidden_size", `a multiple of num_attention_heads (${numHeads})`);
  }
  const headDim = fields.integer("head_dim", 1, hiddenSize / numHeads);
  if (headDim % 2 !== 0 || headDim < HEAD_DIM.min || headDim > HEAD_DIM.max) {
    throw new ModelError(
      `The head size in ${fields.where} (head_dim, or hidden_size / num_attention_heads) must be ` +
        `even and from ${HEAD_DIM.min} to ${HEAD_DIM.max}: found ${headDim}; choose a model with ` +
        `such heads`,
    );
  }
  return headDim;
}

/** The ids under `name`: one, several, or none. */
function tokenIds(
  fields: JsonFields,
  name: string,
  vocabSize: number,
  absent?: number,
): number[] {
  const value = name in fields.json ? fields.json[name] : absent;
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
export function modelTensorShapes(config: ModelConfig): Map<string, number[]> {
  const { vocabSize, hiddenSize, intermediateSize, numHeads, numKeyValueHeads, headDim } = config;
  const queries = numHeads * headDim;
  const keys = numKeyValueHeads * headDim;
  const shapes = new Map<string, number[]>([["model.embed_tokens.weight", [
    vocabSize,
    hiddenSize,
  ]]]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const block = `model.layers.${layer}`;
    shapes.set(`${block}.input_layernorm.weight`, [hiddenSize]);
    shapes.set(`${block}.self_attn.q_proj.weight`, [queries, hiddenSize]);
    shapes.set(`${block}.self_attn.k_proj.weight`, [keys, hiddenSize]);
    shapes.set(`${block}.self_attn.v_proj.weight`, [keys, hiddenSize]);
    shapes.set(`${block}.self_attn.o_proj.weight`, [hiddenSize, queries]);
    shapes.set(`${block}.post_attention_layernorm.weight`, [hiddenSize]);
    shapes.set(`${block}.mlp.gate_proj.weight`, [intermediateSize, hiddenSize]);
    shapes.set(`${block}.mlp.up_proj.weight`, [intermediateSize, hiddenSize]);
    shapes.set(`${block}.mlp.down_proj.weight`, [hiddenSize, intermediateSize]);
  }
  shapes.set("model.norm.weight", [hiddenSize]);
  if (!config.tieWordEmbeddings) shapes.set("lm_head.weight", [vocabSize, hiddenSize]);
  return shapes;
}
