/**
 * The settings of a model as keys of a GGUF file, in llama.cpp's names.
 *
 * @module
 */

import type { GgufValue } from "../io/gguf/writer.ts";
import type { ModelConfig } from "./config.ts";
import type { GgufArchitecture } from "./gguf_architectures.ts";
import { attentionOf, type ModelPlan } from "./plan.ts";
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
  const { headDim, window } = attention;
  const rope = plan.layers.find(({ attention }) => attention?.rope)?.attention?.rope ?? null;
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
    "rope.dimension_count": { u32: headDim },
    ...rope && { "rope.freq_base": { f32: rope.theta } },
    ...arch.scales && {
      "attention.scale": { f32: attention.scale },
      embedding_scale: { f32: plan.embedding.scale },
      residual_scale: { f32: plan.layers[0].residualScale },
      logit_scale: { f32: 1 / plan.head.scale },
    },
  };
  const scaling = rope?.scaling;
  if (scaling?.type === "linear" || scaling?.type === "yarn") {
    keys["rope.scaling.type"] = { string: scaling.type };
    keys["rope.scaling.factor"] = { f32: scaling.factor };
  }
  if (scaling?.type === "yarn") {
    const { originalMaxPositionEmbeddings } = scaling;
    keys["rope.scaling.original_context_length"] = { u32: originalMaxPositionEmbeddings };
  }
  return new Map<string, GgufValue>([
    ["general.architecture", { string: arch.name }],
    ["general.type", { string: "model" }],
    ["general.name", { string: name }],
    ["general.file_type", { u32: FILE_TYPES[type] }],
    ["general.quantization_version", { u32: QUANTIZATION_VERSION }],
    ...Object.entries(keys).map(([key, value]) => [`${arch.name}.${key}`, value] as const),
  ]);
}

/**
 * By what the frequencies of Llama 3's scaling are divided: f32 [headDim / 2]; null for another or no
 * scaling.
 */
export function ropeFactors(plan: ModelPlan): Float32Array<ArrayBuffer> | null {
  const attention = attentionOf(plan)!;
  const { rope, headDim } = attention;
  if (rope?.scaling?.type !== "llama3") return null;
  const scaled = ropeInverseFrequencies(rope, headDim);
  return scaled.map((frequency, i) => rope.theta ** (-2 * i / headDim) / frequency);
}
