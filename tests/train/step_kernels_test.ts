import { assert, assertEquals } from "@std/assert";
import {
  falqon,
  fp8Lora,
  full,
  int8Lora,
  lora,
  type Method,
  qlora,
  torchaoStyle,
} from "../../mod.ts";
import type { Device } from "../../src/gpu/device.ts";
import { type ModelConfig, parseModelConfig } from "../../src/model/config.ts";
import { type MemoryPlan, planMemory } from "../../src/train/memory.ts";
import { kernelsOf, openDryGpu, openDryTensorGpu } from "../support/dry_gpus.ts";

/** Methods that multiply operands of few bits. */
const NARROW: Record<string, Method> = {
  "falqon": falqon({ rank: 64 }),
  "falqon, some rows": falqon({ rank: 64, topK: 10 }),
  "falqon, one scale a matrix": falqon({ rank: 64, scaleGranularity: "tensor" }),
  "lora in f16": lora({ rank: 64, base: "f16" }),
  "fp8-lora": fp8Lora({ rank: 64 }),
  "torchao-style": torchaoStyle({ rank: 64 }),
  "qlora": qlora({ rank: 64 }),
};
/** Methods that multiply integers in the blocks. */
const INT8: Record<string, Method> = {
  "falqon in int8": falqon({ rank: 64, format: "int8", updateRule: "stochastic" }),
  "int8-lora": int8Lora({ rank: 64 }),
};
/** Methods that are exact in f32. */
const EXACT: Record<string, Method> = { "lora": lora({ rank: 16 }), "full": full() };

/** Kernels that round. */
const NARROW_KERNELS = [
  ...["gemm_f16", "gemm_tensor", "low_rank_gradient_tensor", "quantize_rows"],
  "attention_half_forward",
];

/** The shape of one block, and all around it, of known models. */
const MODELS: Record<string, ModelConfig> = {
  "LLaMA-7B": blockOf({ hidden: 4096, ffn: 11008, heads: 32, kvHeads: 32, vocab: 32000 }),
  "TinyLlama": blockOf({ hidden: 2048, ffn: 5632, heads: 32, kvHeads: 4, vocab: 32000 }),
};

interface Shape {
  hidden: number;
  ffn: number;
  heads: number;
  kvHeads: number;
  vocab: number;
}

function blockOf({ hidden, ffn, heads, kvHeads, vocab }: Shape): ModelConfig {
  const config = {
    model_type: "llama",
    vocab_size: vocab,
    hidden_size: hidden,
    intermediate_size: ffn,
    num_hidden_layers: 1,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 2048,
  };
  return parseModelConfig(config, "this test");
}

const SHAPE = { batchSize: 2, sequenceLength: 512, gradientCheckpointing: true };

/** Records a training step. */
function plan(
  device: Device,
  config: ModelConfig,
  method: Method,
  bindingLimit?: number,
): Promise<MemoryPlan> {
  return planMemory({ config, method, device, ...SHAPE, updateStats: true, bindingLimit });
}

/** The kernels of a training step, by name, and their code. */
async function stepKernels(open: typeof openDryGpu, config: ModelConfig, method: Method) {
  const asked = await kernelsOf(() => plan(open(), config, method));
  const codes = [...asked.values()].flatMap((kernels) => kernels.map(({ code }) => code));
  return { names: new Set(asked.keys()), codes };
}

/** Bytes of an element of q, k and v, of gate and up, and of these two's gradients. */
async function widestBytes(open: typeof openDryGpu, config: ModelConfig, method: Method) {
  const { buffers } = await plan(open(), config, method);
  const sizeOf = (name: string) => buffers.find(({ label }) => label === name)!.size;
  const tokens = SHAPE.batchSize * SHAPE.sequenceLength;
  const { intermediateSize, headDim, numHeads, numKeyValueHeads } = config;
  const qkvSize = sizeOf("qkv") / (tokens * headDim * (numHeads + 2 * numKeyValueHeads));
  const elements = 2 * tokens * intermediateSize;
  return [qkvSize, ...["gateUp", "dGateUp"].map((name) => sizeOf(name) / elements)];
}

for (const [model, config] of Object.entries(MODELS)) {
  Deno.test(`a step of ${model} uses tensor cores where it may, packed f16 where not`, async () => {
    for (const [name, method] of Object.entries({ ...NARROW, ...INT8 })) {
      const native = await stepKernels(openDryGpu, config, method);
      assert(native.names.has("gemm_f16"), name);
      const [qkvBytes] = await widestBytes(openDryGpu, config, method);
      const half = qkvBytes === 2 && config.headDim > 64;
      const forward = [...native.names].filter((kernel) => /^attention_.*forward/.test(kernel));
      assertEquals(forward, [half ? "attention_half_forward" : "attention_forward"], name);
      assertEquals(
        native.codes.filter((code) => /subgroup(_matrix|[A-Z]\w*\()/.test(code)),
        [],
        name,
      );
      const tensor = await stepKernels(openDryTensorGpu, config, method);
      assert(tensor.names.has("gemm_tensor") && !tensor.names.has("gemm_f16"), name);
      assert(
        tensor.names.has("low_rank_gradient_tensor") && !native.names.has("gradient_scale"),
        name,
      );
      for (const kernel of ["forward", "queries", "keys_values"]) {
        assert(tensor.names.has(`attention_tensor_${kernel}`), `${name}: ${kernel}`);
      }
      const integers = [native, tensor].map(({ names }) =>
        [...names].filter((kernel) => /^gemm_int8/.test(kernel)).join()
      );
      assertEquals(integers, name in INT8 ? ["gemm_int8", "gemm_int8_tensor"] : ["", ""], name);
    }
    for (const [name, method] of Object.entries(EXACT)) {
      for (const open of [openDryGpu, openDryTensorGpu]) {
        const { names } = await stepKernels(open, config, method);
        const narrow = NARROW_KERNELS.filter((kernel) => names.has(kernel));
        assertEquals([name, ...narrow], [name]);
      }
    }
  });
}

Deno.test("a step of Gemma 2 caps its scores and logits, keeps documents in windows, and has wide heads on tensor cores", async () => {
  const config = parseModelConfig({
    model_type: "gemma2",
    vocab_size: 256000,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 2,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    sliding_window: 128,
    max_position_embeddings: 8192,
  }, "this test");
  for (const method of [NARROW["falqon"], EXACT["lora"]]) {
    for (const open of [openDryGpu, openDryTensorGpu]) {
      const { names, codes } = await stepKernels(open, config, method);
      const onTensorCores = open !== openDryGpu;
      assertEquals(names.has("attention_tensor_queries"), onTensorCores);
      assertEquals(names.has("attention_forward"), !onTensorCores);
      const caps = codes.filter((code) => code.includes("soft_cap"));
      assertEquals(caps.length, 4); // forward, both gradients, the loss
      // The gradients' tiles have half the rows: no more fit.
      const large = codes.filter((code) =>
        code.includes("fn add_weighted") && code.includes("const SUBGROUPS = 8;")
      );
      assertEquals(large, []);
    }
    const { buffers } = await plan(openDryGpu(), config, method);
    const windows = buffers.filter(({ label }) => label.startsWith("documents, in windows"));
    assertEquals(windows, [{ label: "documents, in windows of 128", size: 8 * 2 * 512 }]);
  }
});

Deno.test("q, k, v, gate, up and gradients take half the bytes where kernels read them so", async () => {
  const config = MODELS["LLaMA-7B"];
  const cases: [string, typeof openDryGpu, number[]][] = [
    ["falqon", openDryTensorGpu, [2, 2, 2]],
    ["falqon", openDryGpu, [2, 2, 4]],
    ["falqon, some rows", openDryTensorGpu, [4, 4, 4]],
    ["falqon, one scale a matrix", openDryTensorGpu, [2, 2, 4]],
    ["fp8-lora", openDryTensorGpu, [4, 4, 4]],
    ["falqon in int8", openDryTensorGpu, [2, 2, 2]],
    ["falqon in int8", openDryGpu, [2, 2, 4]],
  ];
  for (const [name, open, bytes] of cases) {
    assertEquals(await widestBytes(open, config, { ...NARROW, ...INT8 }[name]), bytes, name);
  }
});

Deno.test("norms of queries and keys take the place of rope, in the type of q and k, before the same attention", async () => {
  const llama = MODELS.TinyLlama;
  const [layer] = llama.plan.layers;
  const tensors = { q: "q_norm.weight", k: "k_norm.weight" };
  const qkNorm = { over: "head", weightOffset: 0, eps: 1e-6, tensors } as const;
  const attention = { ...layer.attention!, qkNorm };
  const config = { ...llama, plan: { ...llama.plan, layers: [{ ...layer, attention }] } };
  const methods = ["falqon", "falqon, some rows", "falqon in int8", "lora", "full"];
  for (const open of [openDryGpu, openDryTensorGpu]) {
    for (const name of methods) {
      const method = { ...NARROW, ...INT8, ...EXACT }[name];
      const { names } = await stepKernels(open, config, method);
      const { names: usual } = await stepKernels(open, llama, method);
      const norms = ["qk_norm", "qk_norm_backward"];
      if (name === "full") norms.push("qk_norm_weight_gradient");
      assertEquals([...names.difference(usual)].sort(), norms, name);
      assertEquals([...usual.difference(names)], ["rope"], name);
      const { buffers } = await plan(open(), config, method);
      const [raw, rotated] = ["qkv", "rotated"].map((activation) =>
        buffers.find(({ label }) => label === activation)!.size
      );
      assertEquals(rotated, raw, name);
    }
  }
});

Deno.test("delta nets run kernels of their own, and attention that is gated stays in f32 outside of tensor cores", async () => {
  const config = parseModelConfig({
    model_type: "qwen3_5_text",
    vocab_size: 32000,
    hidden_size: 1024,
    intermediate_size: 3584,
    num_hidden_layers: 2,
    layer_types: ["linear_attention", "full_attention"],
    num_attention_heads: 8,
    num_key_value_heads: 2,
    linear_num_key_heads: 16,
    linear_num_value_heads: 32,
  }, "this test");
  const bindingLimit = 2 ** 27;
  const trained = [
    "delta_conv_weight_gradient",
    "gated_norm_weight_gradient",
  ];
  for (const open of [openDryGpu, openDryTensorGpu]) {
    for (const name of ["falqon", "falqon, some rows", "falqon in int8", "qlora", "lora", "full"]) {
      const method = { ...NARROW, ...INT8, ...EXACT }[name];
      const { names } = await stepKernels(open, config, method);
      const own = [...names].filter((kernel) => /^delta_|^gated_norm|^output_gate/.test(kernel));
      assertEquals(
        own.sort(),
        [
          ...["delta_conv", "delta_conv_backward", "delta_conv_slope"],
          ...["delta_gate_gradients", "delta_gates", "delta_gates_backward"],
          ...["delta_key_gradients", "delta_norm", "delta_norm_backward"],
          ...["delta_scan", "delta_scan_backward", "gated_norm", "gated_norm_backward"],
          ...["output_gate", "output_gate_backward"],
          ...(name === "full" ? trained : []),
        ].sort(),
        name,
      );
      assertEquals(names.has("attention_half_forward"), false);
      const { buffers } = await plan(open(), config, method, bindingLimit);
      const [{ label, size }] = buffers;
      assert(size <= bindingLimit, `${name}: ${label} takes ${size} bytes`);
    }
  }
});

/** The kernel of the largest products natively. */
const PRODUCT = { fp8: "gemm_f16", int8: "gemm_int8" };

Deno.test("where one kernel is compiled after another, FALQON's first step has no large one twice but the product", async () => {
  const config = MODELS["LLaMA-7B"];
  for (const format of ["fp8", "int8"] as const) {
    const method = falqon({ rank: 64, format, init: "gradient" });
    const asked = await kernelsOf(() => plan(openDryGpu(), config, method));
    const largest = [...asked].map(([name, kernels]) => {
      const lines = kernels.map(({ code }) => code.split("\n").length).sort((a, b) => b - a);
      return { name, lines };
    });
    assert(largest.some(({ name, lines: [first] }) => name === "gemm_f16" && first > 500), format);
    const twice = largest.filter(({ lines }) => lines.length > 1 && lines[1] > 500);
    // Its output in f32 and in f16: choosing when it runs costs time in every step.
    assertEquals(twice.map(({ name }) => name), [PRODUCT[format]], format);
  }
});
