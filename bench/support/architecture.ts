/**
 * LLaMA architectures for benches: a width by name, any number changed by a flag.
 *
 * @module
 */

import { choice, type FlagValues, group, whole } from "../../src/cli/flags.ts";
import { type ModelConfig, parseModelConfig } from "../../src/model/config.ts";

/** The sizes of LLaMA models, and of one that a CPU runs in a moment. */
const WIDTHS = {
  tiny: { hidden: 64, ffn: 172, heads: 4, kvHeads: 2, vocab: 512 },
  "1b": { hidden: 2048, ffn: 5632, heads: 32, kvHeads: 4, vocab: 32000 },
  "7b": { hidden: 4096, ffn: 11008, heads: 32, kvHeads: 32, vocab: 32000 },
  "13b": { hidden: 5120, ffn: 13824, heads: 40, kvHeads: 40, vocab: 32000 },
};

/** Flags that choose an architecture. */
export const ARCHITECTURE_FLAGS = group("Architecture", {
  width: choice(["tiny", "1b", "7b", "13b"], "Sizes of a LLaMA model", "7b"),
  layers: whole("Blocks", "8"),
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
 */
export function architecture(
  { width = "7b", layers = 8, ...changes }: FlagValues<typeof ARCHITECTURE_FLAGS>,
  sequenceLength: number,
): ModelConfig {
  const { hidden, ffn, heads, kvHeads, vocab } = { ...WIDTHS[width], ...changes };
  return parseModelConfig({
    model_type: "llama",
    hidden_size: hidden,
    intermediate_size: ffn,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    vocab_size: vocab,
    max_position_embeddings: sequenceLength,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  }, "the flags");
}
