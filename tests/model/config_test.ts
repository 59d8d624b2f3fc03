import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FileError, ModelError } from "../../src/errors.ts";
import { Weights } from "../../src/io/weights.ts";
import {
  modelTensorShapes,
  parseModelConfig,
  quantizationBlock,
  readModelConfig,
} from "../../src/model/config.ts";
import { MODELS } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";

const llama = {
  model_type: "llama",
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 2,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 512,
};
const parse = (more: object = {}) => parseModelConfig({ ...llama, ...more }, '"config.json"');

Deno.test("a plain LLaMA config takes the defaults of transformers", () => {
  const { plan, ...view } = parse();
  assertEquals([plan.layers.length, plan.layers[1].attention!.scale], [2, 1 / Math.sqrt(8)]);
  assertEquals(view, {
    modelType: "llama",
    architectures: [],
    vocabSize: 100,
    hiddenSize: 64,
    intermediateSize: 172,
    numLayers: 2,
    numHeads: 8,
    numKeyValueHeads: 4,
    headDim: 8,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    ropeScaling: null,
    tieWordEmbeddings: false,
    maxPositionEmbeddings: 512,
    bosTokenId: 1,
    eosTokenIds: [2],
    padTokenId: null,
    quantization: null,
  });
  const { num_key_value_heads: _, ...old } = llama;
  assertEquals(parseModelConfig(old, "").numKeyValueHeads, 8);
  assertEquals(parse({ num_key_value_heads: null }).numKeyValueHeads, 8);
});

Deno.test("heads, special tokens and tied weights are read", () => {
  assertEquals(parse({ head_dim: null }).headDim, 8);
  assertEquals(parse({ head_dim: 16 }).headDim, 16);
  assertEquals(parse({ hidden_size: 65, head_dim: 10 }).headDim, 10);
  assertEquals(parse({ eos_token_id: [3, 4] }).eosTokenIds, [3, 4]);
  assertEquals(parse({ eos_token_id: null, bos_token_id: null }).eosTokenIds, []);
  assertEquals(parse({ bos_token_id: null }).bosTokenId, null);
  assertEquals(parse({ pad_token_id: 0 }).padTokenId, 0);
  assertEquals(parse({ pad_token_id: -1 }).padTokenId, null);
  assertEquals(parse({ tie_word_embeddings: true }).tieWordEmbeddings, true);
});

Deno.test("rotary settings are read in the old and the new spelling", () => {
  assertEquals(parse({ rope_theta: 5e5 }).ropeTheta, 5e5);
  assertEquals(parse({ rope_theta: 5e5, rope_scaling: null }).ropeScaling, null);
  assertEquals(
    parse({ rope_parameters: { rope_theta: 5e5, rope_type: "default" } }).ropeTheta,
    5e5,
  );
  const linear = { type: "linear", factor: 2 } as const;
  for (
    const spelling of [
      { rope_scaling: { type: "linear", factor: 2 } },
      { rope_scaling: { rope_type: "linear", factor: 2 } },
      { rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 1e4 } },
    ]
  ) {
    assertEquals(parse(spelling).ropeScaling, linear);
  }
  const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
  const expected = { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4 } as const;
  assertEquals(
    parse({ rope_scaling: { ...llama3, original_max_position_embeddings: 8192 } }).ropeScaling,
    { ...expected, originalMaxPositionEmbeddings: 8192 },
  );
  assertEquals(
    parse({ rope_parameters: { ...llama3, rope_theta: 5e5 } }).ropeScaling,
    { ...expected, originalMaxPositionEmbeddings: 512 },
  );
});

Deno.test("a Mistral config is the same graph when its window is off", () => {
  const mistral = { ...llama, model_type: "mistral", sliding_window: null };
  assertEquals(parseModelConfig(mistral, ""), { ...parse(), modelType: "mistral" });
  const { num_key_value_heads: _, ...absent } = { ...mistral, num_attention_heads: 16 };
  assertEquals(parseModelConfig({ ...absent, head_dim: 8 }, "").numKeyValueHeads, 8);
  const windows = (change: object) =>
    parse({ model_type: "mistral", ...change }).plan.layers.map(({ attention }) =>
      attention!.window
    );
  assertEquals(windows({}), [4096, 4096]); // as absent in the first ones
  assertEquals(windows({ sliding_window: 27 }), [27, 27]);
});

Deno.test("what cannot run is refused with the field, the value and the remedy", () => {
  const cases: [object, string][] = [
    [{ model_type: "gpt2" }, 'model_type in "config.json" must be one of llama, mistral, '],
    [{ model_type: "gpt2" }, 'found "gpt2"; choose a model of one of these families'],
    [{ model_type: undefined }, "found nothing"],
    [
      { hidden_act: "gelu" },
      'hidden_act in "config.json" must be silu, swish, gelu_pytorch_tanh, gelu_new: found "gelu"',
    ],
    [{ mlp_bias: "no" }, 'mlp_bias in "config.json" must be true or false: found "no"'],
    [{ vocab_size: 0 }, "vocab_size"],
    [{ vocab_size: "100" }, "an integer from 1 to 4194304"],
    [{ hidden_size: 64.5 }, "hidden_size"],
    [{ hidden_size: undefined }, 'hidden_size in "config.json" must be an integer'],
    [{ hidden_size: 65 }, "a multiple of num_attention_heads (8)"],
    [{ num_hidden_layers: 1e9 }, "an integer from 1 to 512"],
    [{ num_key_value_heads: 3 }, "a divisor of num_attention_heads (8): found 3"],
    [{ head_dim: 9 }, "even and from 8 to 512: found 9"],
    [{ head_dim: 6 }, "found 6"],
    [{ head_dim: 514 }, "found 514"],
    [{ rms_norm_eps: 0 }, "rms_norm_eps"],
    [{ rms_norm_eps: -1e-5 }, "a number from 1e-30 to 1"],
    [{ rope_theta: "1e4" }, "rope_theta"],
    [{ rope_scaling: { type: "linear" } }, "factor in rope_scaling in"],
    [{ rope_scaling: { type: "linear", factor: 0.5 } }, "at least 1: found 0.5"],
    [{ rope_scaling: "linear" }, "must be a JSON object"],
    [{ rope_parameters: { rope_type: "llama3", factor: 8 } }, "low_freq_factor"],
    [{
      rope_parameters: {
        rope_type: "llama3",
        factor: 8,
        low_freq_factor: 4,
        high_freq_factor: 4,
      },
    }, "above low_freq_factor (4)"],
    [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor"],
    [{ rope_parameters: { partial_rotary_factor: 0.5 } }, "partial_rotary_factor"],
    [{ eos_token_id: 100 }, "below the vocabulary size (100): found 100"],
    [{ bos_token_id: "<s>" }, "bos_token_id"],
    [{ pad_token_id: 1.5 }, "pad_token_id"],
    [{ quantization_config: { quant_method: "gptq" } }, "quant_method in quantization_config in"],
  ];
  for (const [more, message] of cases) assertThrows(() => parse(more), ModelError, message);
  for (const json of [null, [], "x", 3]) {
    assertThrows(() => parseModelConfig(json, "x"), ModelError, "must be a JSON object");
  }
});

Deno.test("the quantization block that is written is read back", () => {
  for (const format of ["fp8", "int8"] as const) {
    for (const weights of ["row", "tensor"] as const) {
      for (const activations of ["row", "tensor"] as const) {
        const quantization_config = quantizationBlock({ format, weights, activations });
        assertEquals(parse({ quantization_config }).quantization, {
          method: "compressed-tensors",
          format,
          weights,
          activations,
          otherActivations: null,
          decompressed: false,
          ignore: ["lm_head"],
          transforms: { rotations: new Map(), matrices: new Map() },
        });
      }
    }
  }
});

Deno.test("the quantization block has the layout that compressed-tensors documents", () => {
  // deno-lint-ignore no-explicit-any
  const block: any = quantizationBlock({
    format: "fp8",
    weights: "row",
    activations: "row",
    ignore: ["lm_head", "model.layers.0.mlp.down_proj"],
  });
  assertEquals(block.quant_method, "compressed-tensors");
  assertEquals(block.format, "float-quantized");
  assertEquals(block.quantization_status, "compressed");
  assertEquals(block.kv_cache_scheme, null);
  assertEquals(block.ignore, ["lm_head", "model.layers.0.mlp.down_proj"]);
  const { targets, weights, input_activations: inputs, ...rest } = block.config_groups.group_0;
  assertEquals([targets, rest], [["Linear"], { output_activations: null }]);
  assertEquals([weights.strategy, weights.dynamic], ["channel", false]);
  assertEquals([inputs.strategy, inputs.dynamic], ["token", true]);
  // The library refuses fields it does not know, so there must be no others.
  const known = [
    "num_bits",
    "type",
    "symmetric",
    "group_size",
    "strategy",
    "block_structure",
    "dynamic",
    "actorder",
    "observer",
    "observer_kwargs",
  ].sort();
  for (const args of [weights, inputs]) {
    assertEquals(Object.keys(args).sort(), known);
    assertEquals([args.num_bits, args.type, args.symmetric], [8, "float", true]);
  }
});

Deno.test("other quantizations are refused", () => {
  // deno-lint-ignore no-explicit-any
  const change = (edit: (block: any) => void) => {
    const block = structuredClone(
      quantizationBlock({ format: "fp8", weights: "row", activations: "row" }),
    );
    edit(block);
    return block;
  };
  const cases: [object, string][] = [
    [change((b) => b.quant_method = "gptq"), 'compressed-tensors or fp8: found "gptq"'],
    [change((b) => delete b.quant_method), "quant_method"],
    [{ quant_method: "awq", bits: 4 }, 'compressed-tensors or fp8: found "awq"'],
    [{ quant_method: "modelopt", quant_algo: "NVFP4" }, 'found "modelopt"'],
    [{ quant_method: "toString" }, 'found "toString"'],
    [change((b) => b.sparsity_config = { format: "sparse-24-bitmask" }), "sparsity_config"],
    [change((b) => b.transform_config = { x: 1 }), "config_groups in transform_config"],
    [change((b) => b.format = "nvfp4-pack-quantized"), 'found "nvfp4-pack-quantized"'],
    [change((b) => b.format = "pack-quantized"), '"float-quantized" or "int-quantized"'],
    [change((b) => b.format = "int-quantized"), "type in weights"],
    [change((b) => b.config_groups.group_0.format = "int-quantized"), "format in group_0"],
    [change((b) => b.kv_cache_scheme = { num_bits: 8 }), "kv_cache_scheme"],
    [change((b) => b.config_groups.group_1 = b.config_groups.group_0), "a single group"],
    [change((b) => delete b.config_groups), "config_groups"],
    [change((b) => b.config_groups.group_0.targets = ["re:.*q_proj"]), "targets"],
    [change((b) => b.config_groups.group_0.weights.num_bits = 4), "num_bits"],
    [change((b) => b.config_groups.group_0.weights.type = "int"), "type"],
    [change((b) => b.config_groups.group_0.weights.symmetric = false), "symmetric"],
    [change((b) => b.config_groups.group_0.weights.strategy = "block"), "block_structure"],
    [change((b) => b.config_groups.group_0.weights.strategy = "group"), "channel, tensor or block"],
    [change((b) => b.config_groups.group_0.weights.block_structure = [2, 2]), "block_structure"],
    [change((b) => b.config_groups.group_0.weights.dynamic = true), "dynamic"],
    [change((b) => b.config_groups.group_0.weights.group_size = 128), "group_size"],
    [change((b) => b.config_groups.group_0.input_activations.dynamic = false), "strategy in input"],
    [change((b) => b.config_groups.group_0.input_activations.dynamic = "local"), "dynamic"],
    [change((b) => b.config_groups.group_0.input_activations.strategy = "group"), "group_size"],
    [change((b) => b.config_groups.group_0.input_activations.strategy = "x"), "token, tensor or"],
    [change((b) => b.config_groups.group_0.input_activations.num_bits = 4), "num_bits"],
    [change((b) => b.config_groups.group_0.input_activations = null), "input_activations"],
    [change((b) => b.config_groups.group_0.output_activations = { num_bits: 8 }), "output_act"],
    [change((b) => b.ignore = ["re:("]), "regular expressions"],
    [{ quant_method: "fp8", activation_scheme: "none" }, "dynamic or static"],
    [{ quant_method: "fp8", fmt: "e5m2" }, 'fmt in quantization_config in "config.json" must be'],
    [{ quant_method: "fp8", weight_block_size: [128] }, "weight_block_size"],
    [{ quant_method: "fp8", weight_block_size: [0, 128] }, "[128, 128]: found [0,128]"],
    [{ quant_method: "fp8", weight_block_size: 128 }, "weight_block_size"],
    [{ quant_method: "fp8", modules_to_not_convert: ["re:("] }, "regular expressions"],
    [{ quant_method: "fp8", kv_cache_quant_method: "fp8" }, "kv_cache_quant_method"],
    [{ quant_method: "fp8", transform_config: { x: 1 } }, "transform_config"],
  ];
  for (const [quantization_config, message] of cases) {
    assertThrows(() => parse({ quantization_config }), ModelError, message);
  }
  const dense = change((b) => b.sparsity_config = { format: "dense", global_sparsity: 0.14 });
  assertEquals(parse({ quantization_config: dense }).quantization?.weights, "row");
  const regex = change((block) => block.ignore = ["re:.*lm_head"]);
  assertEquals(parse({ quantization_config: regex }).quantization?.ignore, ["re:.*lm_head"]);
});

Deno.test("a missing or broken config.json is said plainly", () =>
  withFolder(async (folder) => {
    await assertRejects(() => readModelConfig(folder), FileError, "there is no such file");
    await Deno.writeTextFile(`${folder}/config.json`, "{ nope");
    await assertRejects(() => readModelConfig(folder), FileError, "as JSON");
  }));

Deno.test("generation_config.json adds tokens that end a text", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(llama));
    assertEquals(await readModelConfig(folder), parse());
    const generation = (json: object) =>
      Deno.writeTextFile(`${folder}/generation_config.json`, JSON.stringify(json));
    await generation({ eos_token_id: [2, 7] });
    assertEquals((await readModelConfig(folder)).eosTokenIds, [2, 7]);
    await generation({});
    assertEquals((await readModelConfig(folder)).eosTokenIds, [2]);
    await generation({ eos_token_id: 1000 });
    await assertRejects(() => readModelConfig(folder), ModelError, "generation_config.json");
  }));

Deno.test("untied weights have an lm_head, tied ones none", () => {
  assertEquals(modelTensorShapes(parse()).get("lm_head.weight"), [100, 64]);
  assert(!modelTensorShapes(parse({ tie_word_embeddings: true })).has("lm_head.weight"));
});

for (const { name, folder, test } of MODELS) {
  test(`${name}: the shapes that its config says are those of its file`, async () => {
    using weights = await Weights.open(folder);
    const shapes = modelTensorShapes(await readModelConfig(folder));
    assertEquals([...shapes.keys()].sort(), [...weights.names()].sort());
    for (const [name, shape] of shapes) assertEquals(shape, weights.info(name).shape as number[]);
  });
}
