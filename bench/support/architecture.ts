/**
 * Architectures for benches: a width of LLaMA by name, any number changed by a flag, or a published
 * model, whose config.json is in `bench/models/` (the numbers of Phi-4-mini's rotation are left out, as
 * they change nothing of the work).
 *
 * @module
 */

import { choice, type FlagValues, group, whole } from "../../src/cli/flags.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { firstLayers, type ModelConfig, parseModelConfig } from "../../src/model/config.ts";

/** The sizes of LLaMA models, and of one that a CPU runs in a moment. */
const WIDTHS = {
  tiny: { hidden: 64, ffn: 172, heads: 4, kvHeads: 2, vocab: 512 },
  "1b": { hidden: 2048, ffn: 5632, heads: 32, kvHeads: 4, vocab: 32000 },
  "7b": { hidden: 4096, ffn: 11008, heads: 32, kvHeads: 32, vocab: 32000 },
  "13b": { hidden: 5120, ffn: 13824, heads: 40, kvHeads: 40, vocab: 32000 },
};

/** Published models, as `bench/torch_step.py` has them too. */
const MODELS = [
  "smollm2-135m",
  "qwen3-0.6b",
  "qwen3-4b",
  "qwen3-8b",
  "llama3-8b",
  "gemma3-1b",
  "gemma3-4b",
  "phi4-mini",
  "mistral-7b",
] as const;

type Width = keyof typeof WIDTHS;

/** Flags that choose an architecture. */
export const ARCHITECTURE_FLAGS = group("Architecture", {
  width: choice(
    ["tiny", "1b", "7b", "13b", ...MODELS],
    "Sizes of a LLaMA model, or a published model",
    "7b",
  ),
  layers: whole("Blocks", "8, or all of a published model"),
  hidden: whole("Components of the residual stream"),
  ffn: whole("Components inside the feed-forward network"),
  heads: whole("Query heads"),
  kvHeads: whole("Key and value heads"),
  vocab: whole("Tokens of the vocabulary"),
});

/**
 * The architecture that flags describe, long enough for `sequenceLength`.
 *
 * @throws {ModelError} for sizes that do not go together.
 * @throws {UsageError} for sizes beside a published model.
 */
export function architecture(
  { width = "7b", layers, hidden, ffn, heads, kvHeads, vocab }: FlagValues<
    typeof ARCHITECTURE_FLAGS
  >,
  sequenceLength: number,
): ModelConfig {
  const given = Object.entries({ hidden, ffn, heads, kvHeads, vocab })
    .filter(([, value]) => value !== undefined);
  if (!isWidth(width)) return published(width, layers, given.map(([name]) => `--${name}`));
  const sizes = { ...WIDTHS[width], ...Object.fromEntries(given) };
  return parseModelConfig({
    model_type: "llama",
    hidden_size: sizes.hidden,
    intermediate_size: sizes.ffn,
    num_hidden_layers: layers ?? 8,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    vocab_size: sizes.vocab,
    max_position_embeddings: sequenceLength,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  }, "the flags");
}

function isWidth(width: string): width is Width {
  return Object.hasOwn(WIDTHS, width);
}

/** A published model, with its first blocks only where `layers` says so. */
function published(name: string, layers: number | undefined, changed: string[]): ModelConfig {
  if (changed.length > 0) {
    throw new UsageError(
      `Cannot change ${changed.join(", ")} of ${name}: give only --layers beside a published model`,
    );
  }
  const url = new URL(`../models/${name}.json`, import.meta.url);
  const config = parseModelConfig(JSON.parse(Deno.readTextFileSync(url)), `${name}.json`);
  if (layers !== undefined && layers > config.numLayers) {
    throw new UsageError(`Cannot take ${layers} blocks of ${name}: it has ${config.numLayers}`);
  }
  return firstLayers(config, layers ?? config.numLayers);
}
