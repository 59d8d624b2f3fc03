/** Whole steps of models with delta nets and gated attention, against the oracle and against each other. */

import { assert, assertEquals } from "@std/assert";
import type { Method } from "../../src/layers/method.ts";
import { readNamed } from "../../src/layers/named_dense.ts";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import type { FalqonOptions } from "../../src/methods/falqon/settings.ts";
import { full } from "../../src/methods/full.ts";
import { fp8Lora, int8Lora, lora, qlora } from "../../src/methods/lora/lora.ts";
import { type ModelConfig, modelTensorShapes, parseModelConfig } from "../../src/model/config.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { adapterErrors, reference, type Step, withStep } from "../support/oracle_step.ts";
import { randomGenerator } from "../support/random.ts";

const RANK = 5;
const ADAPTER = { rank: RANK, alpha: RANK };

/**
 * Two delta nets, then attention, then one more, so that no layer has the place of its own kind; sizes that are
 * no multiples of four.
 */
const SIZES: Record<string, object> = {
  "one value head a key": {
    ...{ linear_num_key_heads: 3, linear_num_value_heads: 3 },
    ...{ linear_key_head_dim: 10, linear_value_head_dim: 9, head_dim: 16 },
  },
  "three value heads a key": {
    ...{ linear_num_key_heads: 1, linear_num_value_heads: 3 },
    ...{ linear_key_head_dim: 18, linear_value_head_dim: 7, head_dim: 24, attention_bias: true },
    ...{ linear_conv_kernel_dim: 3 },
  },
};

function configOf(sizes: object): ModelConfig {
  return parseModelConfig({
    model_type: "qwen3_5_text",
    vocab_size: 269,
    hidden_size: 52,
    intermediate_size: 44,
    num_hidden_layers: 4,
    layer_types: ["linear", "linear", "full", "linear"].map((type) => `${type}_attention`),
    num_attention_heads: 6,
    num_key_value_heads: 2,
    // Of the first token of a document a delta net gives (q·k)·v, which its norm turns around where q·k changes
    // its sign: this keeps it from being a matter of rounding.
    rms_norm_eps: 0.1,
    ...sizes,
  }, "this test");
}

/**
 * Random parameters: norms multiply by about 1, decays are neither 0 nor 1, and weights are small enough that a
 * rounding of one does not grow from layer to layer.
 */
function randomParameters(config: ModelConfig): Map<string, Float32Array> {
  const random = randomGenerator(5);
  return new Map(
    [...modelTensorShapes(config)].map(([name, shape]) => {
      const bound = shape.length === 1 ? 0.4 : 1.2 / Math.sqrt(shape.at(-1)!);
      const mean = name.endsWith("linear_attn.norm.weight") ? 1 : 0;
      const count = shape.reduce((a, b) => a * b);
      return [name, Float32Array.from({ length: count }, () => mean + bound * (2 * random() - 1))];
    }),
  );
}

for (const [name, sizes] of Object.entries(SIZES)) {
  Deno.test(`full training with ${name}: loss and gradients are the oracle's, with checkpointing the same bits`, async () => {
    const config = configOf(sizes);
    let before: Step | null = null;
    for (const checkpointing of [false, true]) {
      await withStep(config, randomParameters(config), full(), async (step) => {
        const { network, loss, losses, gradients } = step;
        if (before) {
          assertEquals([losses, gradients], [before.losses, before.gradients]);
          return;
        }
        before = step;
        const want = await reference(network);
        assert(Math.abs(loss - want.loss) < 1e-6, `${loss} ${want.loss}`);
        const got = new Map<string, Float32Array>();
        for (const [parameter, dense] of network.dense) {
          got.set(parameter, await readNamed(device, dense, "gradient"));
        }
        for (const linear of network.linears()) {
          for (const [i, { module }] of linear.spec.parts.entries()) {
            got.set(`${module}.weight`, await linear.readGradient!(i));
          }
        }
        for (const [parameter, gradient] of want.gradients) {
          if (parameter.endsWith(".bias")) continue; // tests/layers/bias_test.ts
          const error = relativeError(got.get(parameter)!, gradient);
          assert(error < 2e-5, `${parameter} is off by ${error}`);
        }
      }, { checkpointing });
    }
  });
}

/** Methods, and how far the gradients of their adapters may be off by what they round. */
const ADAPTED: Record<string, [method: Method, f16: boolean, tolerance: number]> = {
  "LoRA": [lora(ADAPTER), false, 2e-5],
  "QLoRA": [qlora(ADAPTER), false, 5e-3],
  "LoRA beside FP8": [fp8Lora(ADAPTER), false, 0.25],
  "LoRA beside int8": [int8Lora(ADAPTER), false, 0.05],
  "FALQON in FP8": [falqonOf({ format: "fp8", updateRule: "stochastic" }), true, 0.25],
  "FALQON in FP8, paper": [falqonOf({ format: "fp8", updateRule: "paper" }), true, 0.25],
  "FALQON in FP8, pending rows": [falqonOf({ topK: 3 }), false, 0.25],
  "FALQON in int8": [falqonOf({ format: "int8", updateRule: "stochastic" }), true, 0.05],
  "FALQON in int8, A trained": [falqonOf({ format: "int8", trainA: true }), true, 0.05],
  "FALQON in int8, one scale a matrix": [
    falqonOf({ format: "int8", scaleGranularity: "tensor", updateRule: "requantize" }),
    true,
    0.1,
  ],
};

function falqonOf(options: FalqonOptions): Method {
  return falqon({ ...ADAPTER, init: "kaiming", ...options });
}

for (const [name, [method, f16, tolerance]] of Object.entries(ADAPTED)) {
  Deno.test(`${name}: gradients of adapters are the oracle's at the weights as they are rounded`, async () => {
    const config = configOf(SIZES["three value heads a key"]);
    await withStep(config, randomParameters(config), method, async (step) => {
      const want = await reference(step.network);
      const errors = await adapterErrors(step, want, RANK);
      console.log(`  ${name}: loss ${step.loss - want.loss}, ${Math.max(...errors.values())}`);
      assert(Math.abs(step.loss - want.loss) < tolerance);
      for (const [module, error] of errors) assert(error < tolerance, `${module}: error ${error}`);
      // q, k, v, z, b and a of a delta net are four tensors, of which FALQON adapts two.
      const ofDeltaNet = name.startsWith("FALQON") ? 3 : 5;
      assertEquals(errors.size, 3 * ofDeltaNet + 4 + 4 * 3);
    }, { f16 });
  });
}
