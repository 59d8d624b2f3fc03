/**
 * The settings of a model as keys of a GGUF file, in llama.cpp's names.
 *
 * @module
 */

import type { GgufValue } from "../io/gguf/writer.ts";
import type { ModelConfig } from "./config.ts";
import type { GgufArchitecture } from "./gguf_architectures.ts";
import { ggufRope, ggufWindowPeriod } from "./gguf_support.ts";
import { attentionOf, type ModelPlan, type RopePlan } from "./plan.ts";
import { ropeInverseFrequencies } from "./rope_frequencies.ts";

/** The numbers of the types of files. */
const FILE_TYPES = { f32: 0, f16: 1, q4_0: 2, q8_0: 7, bf16: 32 };
/** Of the layout of quantised blocks. */
const QUANTIZATION_VERSION = 2;

/** What a file is called, and how its matrices are stored. */
export interface GgufFileFacts {
  name: string;
  type: keyof typeof FILE_TYPES;
}

/**
 * The keys of a model.
 *
 * @param onNotice Is told what llama.cpp computes otherwise.
 */
export function ggufMetadata(
  arch: GgufArchitecture,
  config: ModelConfig,
  { name, type }: GgufFileFacts,
  onNotice: (notice: string) => void,
): Map<string, GgufValue> {
  const { plan, intermediateSize, maxPositionEmbeddings, numLayers, hiddenSize } = config;
  const attention = attentionOf(plan)!;
  const { headDim } = attention;
  const rope = ggufRope(plan);
  const window = arch.windows === null ? attention.window : null;
  const contextLength = Math.min(maxPositionEmbeddings, window ?? Infinity);
  if (contextLength < maxPositionEmbeddings) {
    onNotice(
      `The context of the file is ${contextLength} tokens, the model's window, and not ` +
        `${maxPositionEmbeddings}: llama.cpp's architecture "${arch.name}" has no window`,
    );
  }
  const keys: Record<string, GgufValue> = {
    vocab_size: { u32: config.vocabSize },
    block_count: { u32: numLayers },
    context_length: { u32: contextLength },
    embedding_length: { u32: hiddenSize },
    feed_forward_length: { u32: intermediateSize },
    "attention.head_count": { u32: attention.heads },
    "attention.head_count_kv": { u32: attention.kvHeads },
    "attention.key_length": { u32: headDim },
    "attention.value_length": { u32: headDim },
    "attention.layer_norm_rms_epsilon": { f32: config.rmsNormEps },
    "rope.dimension_count": { u32: rope?.rotatedDims ?? headDim },
    ...arch.scales && {
      "attention.scale": { f32: attention.scale },
      embedding_scale: { f32: plan.embedding.scale },
      residual_scale: { f32: plan.layers[0].residualScale },
      logit_scale: { f32: 1 / plan.head.scale },
    },
    ...arch.softCaps && {
      attn_logit_softcapping: { f32: attention.softCap! },
      final_logit_softcapping: { f32: plan.head.softCap! },
    },
    ...arch.windows && windowKeys(arch, plan, contextLength),
    ...rope ? ropeKeys(rope, onNotice) : { "rope.scaling.finetuned": { bool: false } },
  };
  return new Map<string, GgufValue>([
    ["general.architecture", { string: arch.name }],
    ["general.type", { string: "model" }],
    ["general.name", { string: name }],
    ["general.file_type", { u32: FILE_TYPES[type] }],
    ["general.quantization_version", { u32: QUANTIZATION_VERSION }],
    ...Object.entries(keys).map(([key, value]) => [`${arch.name}.${key}`, value] as const),
  ]);
}

/** Windows, of which Gemma 2 has some where a file names none: then they are as long as the context. */
function windowKeys(
  { windows }: GgufArchitecture,
  plan: ModelPlan,
  contextLength: number,
): Record<string, GgufValue> {
  const local = plan.layers.find(({ attention }) => attention?.window != null)?.attention;
  if (!local && windows !== "alike") return {};
  return {
    "attention.sliding_window": { u32: local?.window ?? contextLength },
    "attention.sliding_window_pattern": {
      u32: local ? ggufWindowPeriod(plan)! : plan.layers.length + 1,
    },
    ...local?.rope && { "rope.freq_base_swa": { f32: local.rope.theta } },
  };
}

function ropeKeys(
  { theta, scaling, factor, queryScale }: RopePlan,
  onNotice: (notice: string) => void,
): Record<string, GgufValue> {
  const keys: Record<string, GgufValue> = { "rope.freq_base": { f32: theta } };
  if (scaling?.type === "linear" || scaling?.type === "yarn") {
    keys["rope.scaling.type"] = { string: scaling.type };
    keys["rope.scaling.factor"] = { f32: scaling.factor };
  }
  if (scaling?.type === "yarn" || scaling?.type === "longrope") {
    const length = scaling.originalMaxPositionEmbeddings;
    keys["rope.scaling.original_context_length"] = { u32: length };
    if (scaling.type === "longrope") {
      keys["rope.scaling.attn_factor"] = { f32: factor };
      onNotice(
        `llama.cpp takes the rotation for long texts as soon as it is started with a context of more than ` +
          `${length} tokens, and this model for texts that are longer: for shorter ones start it with -c ${length}`,
      );
    }
  }
  if (queryScale) {
    keys["rope.scaling.yarn_log_multiplier"] = { f32: 1 };
    keys["attention.temperature_scale"] = { f32: queryScale.beta };
  }
  return keys;
}

/** By what frequencies are divided, for scalings that a file tells so: f32 [rotated components / 2] by name. */
export function ropeFactors(plan: ModelPlan): Map<string, Float32Array<ArrayBuffer>> {
  const rope = ggufRope(plan);
  const { headDim } = attentionOf(plan)!;
  switch (rope?.scaling?.type) {
    case "llama3": {
      const factors = ropeInverseFrequencies(rope, headDim)
        .map((frequency, i) => rope.theta ** (-2 * i / headDim) / frequency);
      return new Map([["rope_freqs.weight", factors]]);
    }
    case "longrope":
      return new Map([
        ["rope_factors_long.weight", Float32Array.from(rope.scaling.longFactors)],
        ["rope_factors_short.weight", Float32Array.from(rope.scaling.shortFactors)],
      ]);
    default:
      return new Map();
  }
}
