import { assert, assertEquals } from "@std/assert";
import {
  Dataset,
  falqon,
  fp8Lora,
  full,
  int8Lora,
  lora,
  type Method,
  Model,
  qlora,
  torchaoStyle,
  Trainer,
} from "../../mod.ts";
import { parseModelConfig, readModelConfig } from "../../src/model/config.ts";
import { METRICS_CAPACITY } from "../../src/gpu/step_state.ts";
import { planMemory } from "../../src/train/memory.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { openDryGpu, openDryTensorGpu } from "../support/dry_gpus.ts";
import { withFolder } from "../support/io.ts";
import { DELTA_NET_CONFIG } from "../support/delta_net_model.ts";
import { FUSED_CONFIG } from "../support/fused_model.ts";
import { BIASES, GEMMA4, GEMMA4_E, SANDWICH, writeTinyModel } from "../support/tiny_model.ts";

const METHODS: Record<string, Method> = {
  "falqon": falqon({ rank: 5 }),
  "falqon in int8": falqon({ rank: 5, format: "int8" }),
  "falqon in int8, requantize from the error": falqon({
    rank: 5,
    format: "int8",
    updateRule: "requantize",
    init: "melded",
  }),
  "falqon in int8, not rotated, top-k with pending rows": falqon({
    rank: 5,
    format: "int8",
    rotation: false,
    topK: 3,
    targetModules: ["q_proj", "down_proj"],
  }),
  "falqon, A trained too": falqon({
    rank: 5,
    format: "int8",
    updateRule: "stochastic",
    trainA: true,
    targetModules: ["q_proj", "v_proj", "down_proj"],
  }),
  "falqon, accumulate": falqon({ rank: 5, updateRule: "accumulate", scaleGranularity: "tensor" }),
  "lora": lora({ rank: 5, targetModules: ["q_proj", "v_proj"] }),
  "fp8-lora": fp8Lora({ rank: 5 }),
  "int8-lora": int8Lora({ rank: 5, targetModules: ["o_proj", "up_proj"] }),
  "torchao-style": torchaoStyle({ rank: 5, targetModules: ["q_proj", "v_proj"] }),
  "qlora": qlora({ rank: 5, trainA: false }),
  "full": full(),
};

/** What reading the metrics takes for a moment, at most. */
const METRICS_BYTES = 28 * METRICS_CAPACITY;

/** Expects each method to allocate on a tiny model what was predicted, and no more while it trains. */
function expectPredicted(
  methods: Record<string, Method>,
  model: Record<string, unknown>,
  bindingLimit = Infinity,
): Promise<void> {
  return withFolder(async (folder) => {
    device.bindingLimit = bindingLimit;
    await writeTinyModel(folder, { config: model });
    const rows = Array.from({ length: 20 }, () => ({ text: "abcdefghijklmnop" }));
    const config = await readModelConfig(folder);
    const { f16Storage: asUsual } = device.tuning;
    const everywhere = { activations: true, gradients: true };
    for (const [name, method] of Object.entries(methods)) {
      for (const gradientCheckpointing of [false, true]) {
        const f16Storage = gradientCheckpointing ? everywhere : asUsual;
        device.tuning = { ...device.tuning, f16Storage };
        const shape = {
          batchSize: 3,
          sequenceLength: 43, // more tokens than a tile of 128
          gradientCheckpointing,
          updateStats: false,
        };
        const plan = await planMemory({ config, method, device, ...shape });
        const { weights, training, kept, passing, logits, kernels } = plan;
        assertEquals(weights + training + kept + passing + logits + kernels, plan.total);
        assertEquals(plan.buffers.reduce((sum, { size }) => sum + size, 0), plan.total);
        assert(plan.buffers[0].size <= bindingLimit, JSON.stringify(plan.buffers[0]));

        await using _ = expectAllFreed();
        device.peakBytes = 0;
        using model = await Model.load(folder, { device });
        using trainer = await Trainer.create({
          model,
          method,
          data: Dataset.from(rows),
          steps: 2,
          ...shape,
        });
        assertEquals(device.allocatedBytes, plan.total, `${name} ${gradientCheckpointing}`);
        for await (const _ of trainer.run());
        const surprise = device.peakBytes - plan.peak;
        assert(surprise >= 0 && surprise <= METRICS_BYTES, `${name}: ${surprise} bytes`);
      }
    }
  });
}

Deno.test("the predicted memory is what a run allocates, and it does not grow", () =>
  expectPredicted(METHODS, {}));

Deno.test("fused weights, with an adapter on q, k and v and one on gate and up, are predicted", () =>
  expectPredicted({
    "falqon": falqon({ rank: 5, targetModules: ["qkv_proj", "down_proj"] }),
    "falqon in int8": falqon({ rank: 5, format: "int8", init: "melded" }),
    "lora": lora({ rank: 5, targetModules: ["gate_up_proj"] }),
    "qlora": qlora({ rank: 5 }),
    "full": full(),
  }, FUSED_CONFIG));

Deno.test("biases are predicted", () =>
  expectPredicted({
    "falqon": METHODS["falqon, A trained too"],
    "qlora": METHODS.qlora,
    "full": METHODS.full,
  }, BIASES));

Deno.test("norms of queries and keys are predicted, in f32 and in f16", () =>
  expectPredicted({
    "falqon in int8": METHODS["falqon in int8"],
    "full": METHODS.full,
  }, { model_type: "qwen3", head_dim: 16 }));

Deno.test("delta nets and gated attention are predicted", () =>
  expectPredicted({
    "falqon": METHODS.falqon,
    "falqon in int8": METHODS["falqon in int8"],
    "lora": lora({ rank: 5 }),
    "qlora": METHODS.qlora,
    "full": METHODS.full,
  }, DELTA_NET_CONFIG));

/** Bytes that hold every buffer of the tiny model but a table of 385 rows, and the parameters of `full`. */
const SMALL_LIMIT = 80 * 1024;

Deno.test("tables and parameters in several buffers are predicted", () =>
  expectPredicted(
    { "falqon": METHODS.falqon, "qlora": METHODS.qlora, "full": METHODS.full },
    { vocab_size: 385 },
    SMALL_LIMIT,
  ));

Deno.test("models of large vocabularies train within the limits that every GPU has", async () => {
  /** Of a device with the limits of the WebGPU standard. */
  const bindingLimit = 2 ** 27;
  for (
    const [vocab_size, hidden_size, tie_word_embeddings] of [
      [128256, 2048, true],
      [151936, 2560, false],
      [262144, 1152, true],
    ]
  ) {
    const sizes = {
      head_dim: 128,
      num_attention_heads: 8,
      num_hidden_layers: 1,
      intermediate_size: 6144,
    };
    const fields = { model_type: "llama", vocab_size, hidden_size, tie_word_embeddings, ...sizes };
    const config = parseModelConfig(fields, "this test");
    for (const method of [falqon({ rank: 16 }), lora({ rank: 16 }), qlora({ rank: 16 }), full()]) {
      const shape = { batchSize: 2, sequenceLength: 256, gradientCheckpointing: false };
      for (const open of [openDryGpu, openDryTensorGpu]) {
        const plan = await planMemory({ config, method, device: open(), bindingLimit, ...shape });
        const [{ label, size }] = plan.buffers;
        assert(size <= bindingLimit, `${vocab_size}, ${method.name}: ${label} takes ${size} bytes`);
        assert(plan.logits <= bindingLimit && plan.peak >= plan.total);
        const whole = await planMemory({ config, method, device: open(), ...shape });
        assert(whole.buffers[0].size > bindingLimit);
        assertEquals(whole.weights, plan.weights);
      }
    }
  }
});
Deno.test("norms behind branches, whose outputs are kept, are predicted", () =>
  expectPredicted({
    "falqon": METHODS.falqon,
    "falqon in int8": METHODS["falqon in int8"],
    "lora": METHODS.lora,
    "full": METHODS.full,
  }, SANDWICH));

for (const [what, config] of Object.entries({ "Gemma 4": GEMMA4, "an E model": GEMMA4_E })) {
  Deno.test(`layers of several sizes, as those of ${what}, are predicted`, () =>
    expectPredicted({
      "falqon in int8": METHODS["falqon in int8"],
      "lora": METHODS.lora,
      "full": METHODS.full,
    }, config));
}
