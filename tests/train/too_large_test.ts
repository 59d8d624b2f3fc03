import { assert, assertEquals } from "@std/assert";
import { METHODS } from "../../src/methods/registry.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { planMemory } from "../../src/train/memory.ts";

const config = parseModelConfig({
  model_type: "llama",
  vocab_size: 300,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  head_dim: 16,
  max_position_embeddings: 2048,
}, "x");

/** Every buffer of a run, as one that no GPU binds: what it is said to grow with, and its size. */
async function buffers(method: string, tokens: number) {
  const { create, options } = METHODS.find(({ name }) => name === method)!;
  const { tooLarge } = await planMemory({
    config,
    method: create(options.rank ? { rank: 4 } : {}),
    batchSize: 1,
    sequenceLength: tokens,
    gradientCheckpointing: false,
    bindingLimit: 0,
  });
  return new Map(tooLarge.map((buffer) => [buffer.label, buffer]));
}

for (const { name } of METHODS) {
  Deno.test(`the remedy for a buffer of ${name} that is too large is what it grows with`, async () => {
    const [few, more] = [await buffers(name, 512), await buffers(name, 2048)];
    assert(few.size > 20);
    const wrong = [...few.values()].filter(({ label, growsWith, size }) => {
      const grows = more.get(label)!.size > size;
      return size > 1024 && grows !== (growsWith === "step");
    });
    assertEquals(wrong, []);
  });
}
