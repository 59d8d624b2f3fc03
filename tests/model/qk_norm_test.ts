/** Whole steps of models with norms of queries and keys, against the oracle and against each other. */

import { assert, assertEquals } from "@std/assert";
import type { Method } from "../../src/layers/method.ts";
import { readNamed } from "../../src/layers/named_dense.ts";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import type { FalqonOptions } from "../../src/methods/falqon/settings.ts";
import { full } from "../../src/methods/full.ts";
import { fp8Lora, int8Lora, lora, qlora } from "../../src/methods/lora/lora.ts";
import { activationTypes } from "../../src/model/activation_types.ts";
import { type ModelConfig, modelTensorShapes, parseModelConfig } from "../../src/model/config.ts";
import type { QkNormPlan, RopePlan } from "../../src/model/plan.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { adapterErrors, reference, type Step, withStep } from "../support/oracle_step.ts";
import { randomGenerator } from "../support/random.ts";

/** Alpha is the rank, so that adapters count once under all rules. */
const RANK = 5;
const ADAPTER = { rank: RANK, alpha: RANK };

/** Norms, and how layers rotate if not as LLaMA's. */
type Norm = Pick<QkNormPlan, "over" | "weightOffset"> & { rope?: Partial<RopePlan> | null };
const NORMS: Norm[] = [
  { over: "head", weightOffset: 0 },
  { over: "head", weightOffset: 1 },
  { over: "width", weightOffset: 0 },
];
/** No rotation; factors, of queries alone too; components in another order than the kernels rotate. */
const ROTATIONS: Norm[] = [
  { over: "head", weightOffset: 0, rope: null },
  { over: "width", weightOffset: 1, rope: null },
  {
    over: "width",
    weightOffset: 0,
    rope: { factor: 1.2, queryScale: { beta: 0.1, originalMaxPositionEmbeddings: 5 } },
  },
  { over: "head", weightOffset: 1, rope: { rotatedDims: 8, factor: 1.2 } },
  { over: "width", weightOffset: 0, rope: { rotatedDims: 8 } },
  { over: "head", weightOffset: 0, rope: { interleaved: true } },
];

/** A small decoder of LLaMA's with such norms; heads of 10 are no whole vectors. */
function configWith(norm: Norm, headDim: number): ModelConfig {
  const config = parseModelConfig({
    model_type: "llama",
    vocab_size: 269,
    hidden_size: 52,
    intermediate_size: 44,
    num_hidden_layers: 2,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    head_dim: headDim,
  }, "this test");
  const layers = config.plan.layers.map((layer, i) => {
    const tensors = { q: `layers.${i}.q_norm.weight`, k: `layers.${i}.k_norm.weight` };
    const { over, weightOffset } = norm;
    const qkNorm = { over, weightOffset, eps: 1e-3, tensors };
    const rope = norm.rope === null ? null : { ...layer.attention!.rope!, ...norm.rope };
    return { ...layer, attention: { ...layer.attention!, qkNorm, rope } };
  });
  return { ...config, plan: { ...config.plan, layers } };
}

/** Random parameters: norms multiply by about 1. */
function randomParameters(config: ModelConfig, { weightOffset }: Norm): Map<string, Float32Array> {
  const random = randomGenerator(5);
  return new Map(
    [...modelTensorShapes(config)].map(([name, shape]) => {
      const bound = shape.length === 1 ? 0.4 : 3 / Math.sqrt(shape[1]);
      const mean = shape.length > 1 ? 0 : /[qk]_norm/.test(name) ? 1 - weightOffset : 1;
      const count = shape.reduce((a, b) => a * b);
      return [name, Float32Array.from({ length: count }, () => mean + bound * (2 * random() - 1))];
    }),
  );
}

function modelWith(norm: Norm, headDim: number) {
  const config = configWith(norm, headDim);
  return [config, randomParameters(config, norm)] as const;
}

for (const norm of [...NORMS, ...ROTATIONS]) {
  for (const headDim of "rope" in norm ? [16] : [10, 16]) {
    const { over, weightOffset, rope = {} } = norm;
    const name = `${over}, ${weightOffset} + weight, heads of ${headDim}, ${JSON.stringify(rope)}`;
    Deno.test(`full training of ${name}: loss and gradients are the oracle's, with checkpointing the same bits`, async () => {
      let before: Step | null = null;
      for (const checkpointing of [false, true]) {
        await withStep(...modelWith(norm, headDim), full(), async (step) => {
          const { network, loss, losses, gradients } = step;
          if (before) {
            assertEquals([losses, gradients], [before.losses, before.gradients]);
            return;
          }
          before = step;
          const want = await reference(network);
          assert(Math.abs(loss - want.loss) < 1e-6);
          const got = new Map(gradients);
          for (const [name, dense] of network.dense) {
            got.set(name, await readNamed(device, dense, "gradient"));
          }
          for (const linear of network.linears()) {
            got.delete(linear.spec.name);
            for (const [i, { module }] of linear.spec.parts.entries()) {
              got.set(`${module}.weight`, await linear.readGradient!(i));
            }
          }
          assertEquals([...got.keys()].sort(), [...want.gradients.keys()].sort());
          for (const [parameter, gradient] of want.gradients) {
            const error = relativeError(got.get(parameter)!, gradient);
            assert(error < 1e-5, `${parameter} is off by ${error}`);
          }
        }, { checkpointing });
      }
    });
  }
}

/** Methods, and how far the gradients of their adapters may be off by what they round. */
const ADAPTED: Record<string, [method: Method, f16: boolean, tolerance: number]> = {
  "LoRA": [lora(ADAPTER), false, 1e-5],
  "QLoRA": [qlora(ADAPTER), false, 5e-3],
  "LoRA beside f16, q and k in f16": [
    lora({ ...ADAPTER, base: "f16", targetModules: ["o_proj", "down_proj"] }),
    true,
    5e-3,
  ],
  "LoRA beside FP8": [fp8Lora(ADAPTER), false, 0.3],
  "LoRA beside int8": [int8Lora(ADAPTER), false, 0.1],
  "FALQON in FP8": [falqonOf({ format: "fp8", updateRule: "stochastic" }), true, 0.3],
  "FALQON in FP8, requantize": [falqonOf({ format: "fp8", updateRule: "requantize" }), true, 0.3],
  "FALQON in FP8, paper": [falqonOf({ format: "fp8", updateRule: "paper" }), true, 0.3],
  "FALQON in FP8, accumulate": [falqonOf({ format: "fp8", updateRule: "accumulate" }), true, 0.3],
  "FALQON in FP8, pending rows": [falqonOf({ topK: 3 }), false, 0.3],
  "FALQON in int8": [falqonOf({ format: "int8", updateRule: "stochastic" }), true, 0.1],
  "FALQON in int8, A trained": [falqonOf({ format: "int8", trainA: true }), true, 0.1],
  "FALQON in int8, one scale a matrix": [
    falqonOf({ format: "int8", scaleGranularity: "tensor", updateRule: "requantize" }),
    true,
    0.2,
  ],
};

function falqonOf(options: FalqonOptions): Method {
  return falqon({ ...ADAPTER, init: "kaiming", ...options });
}

for (const [name, [method, f16, tolerance]] of Object.entries(ADAPTED)) {
  Deno.test(`${name}: gradients of adapters are the oracle's at the weights as they are rounded`, async () => {
    for (const norm of NORMS.slice(1)) {
      await withStep(...modelWith(norm, 16), method, async (step) => {
        assertEquals(activationTypes(step.network.blocks).rotated, f16 ? "f16" : "f32");
        const want = await reference(step.network);
        assert(Math.abs(step.loss - want.loss) < tolerance);
        const errors = await adapterErrors(step, want, RANK);
        for (const [module, error] of errors) {
          assert(error < tolerance, `${module} with ${norm.over}: error ${error}`);
        }
        assertEquals(errors.size, f16 && name.startsWith("LoRA") ? 4 : 14);
      }, { f16 });
    }
  });
}
