/** Training steps of families on the kernels of tensor cores, their fragments emulated, beside those of any GPU. */

import { assert } from "@std/assert";
import { join } from "node:path";
import { Dataset, falqon, lora, type Method, Model, Trainer } from "../../mod.ts";
import type { Device } from "../../src/gpu/device.ts";
import { device } from "../support/device.ts";
import { EmulatedTensorCores } from "../support/emulated_tensor_cores.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** Sizes of which no part is too small for the kernels. */
const SIZES = {
  hidden_size: 64,
  intermediate_size: 80,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
};

const GEMMA2 = {
  model_type: "gemma2",
  sliding_window: 9,
  query_pre_attn_scalar: 12,
  attn_logit_softcapping: 4,
  final_logit_softcapping: 6,
  tie_word_embeddings: true,
};

const PHI3 = {
  model_type: "phi3",
  sliding_window: 20,
  original_max_position_embeddings: 16,
  pad_token_id: 0,
  rope_parameters: {
    rope_type: "longrope",
    rope_theta: 1e4,
    partial_rotary_factor: 0.5,
    short_factor: [1, 1.5, 2, 3],
    long_factor: [2, 5, 6, 7],
  },
};

const QWEN35 = {
  model_type: "qwen3_5_text",
  layer_types: ["linear_attention", "full_attention"],
  linear_num_key_heads: 2,
  linear_num_value_heads: 4,
  linear_key_head_dim: 16,
  linear_value_head_dim: 16,
  rms_norm_eps: 0.1,
};

interface TensorRun {
  config: Record<string, unknown>;
  method: () => Method;
  /** Bounds of the relative difference: f16 here and there, or codes that it decides otherwise. */
  loss: number;
  gradNorm: number;
  /** Kernels that must have run. */
  kernels: string[];
}

const ATTENTION = ["attention_tensor_forward", "attention_tensor_queries"];

const RUNS: Record<string, TensorRun> = {
  "gemma2 by falqon in int8": {
    config: GEMMA2,
    method: () => falqon({ rank: 5, format: "int8", init: "random-orthogonal" }),
    loss: 2e-3,
    gradNorm: 0.05,
    kernels: [...ATTENTION, "gemm_int8_tensor"],
  },
  "gemma2 by lora in f16": {
    config: GEMMA2,
    method: () => lora({ rank: 5, base: "f16" }),
    loss: 5e-4,
    gradNorm: 5e-3,
    kernels: [...ATTENTION, "gemm_tensor", "low_rank_gradient_tensor"],
  },
  "qwen3.5 by lora in f16": {
    config: QWEN35,
    method: () => lora({ rank: 5, base: "f16" }),
    loss: 1e-3,
    gradNorm: 0.02,
    kernels: [...ATTENTION, "gemm_tensor", "delta_scan_backward"],
  },
  "phi3 by lora in f16": {
    config: PHI3,
    method: () => lora({ rank: 5, base: "f16" }),
    loss: 5e-4,
    gradNorm: 5e-3,
    kernels: ATTENTION,
  },
};

Deno.test("steps on tensor cores have the losses and gradients of those without", () =>
  withFolder(async (folder) => {
    await using tensorCores = await EmulatedTensorCores.open();
    if (!tensorCores.hasF16) return console.log("skipped, since this GPU has no f16");
    const rows = Array.from({ length: 60 }, (_, i) => ({ text: `row ${i} of ${i * 7 % 11}` }));
    for (const [name, { config, method, kernels, ...bounds }] of Object.entries(RUNS)) {
      const path = join(folder, name);
      await Deno.mkdir(path);
      await writeTinyModel(path, { config: { ...SIZES, ...config } });
      const step = async (device: Device) => {
        using model = await Model.load(path, { device });
        using trainer = await Trainer.create({
          model,
          method: method(),
          data: Dataset.from(rows),
          batchSize: 3,
          sequenceLength: 32,
          steps: 2,
          learningRate: 1e-3,
        });
        return (await trainer.train())!;
      };
      const want = await step(device);
      tensorCores.asked.clear();
      const got = await step(tensorCores);
      for (const kernel of kernels) assert(tensorCores.asked.has(kernel), `${name}: ${kernel}`);
      for (const metric of ["loss", "gradNorm"] as const) {
        const error = Math.abs(got[metric] / want[metric] - 1);
        assert(
          error < bounds[metric],
          `${name}: ${metric} is ${got[metric]}, not ${want[metric]}`,
        );
      }
    }
  }));
