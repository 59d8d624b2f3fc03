import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { fromFloat32 } from "../../src/io/dtype.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { Weights } from "../../src/io/weights.ts";
import { parseModelConfig, quantizationBlock } from "../../src/model/config.ts";
import { expectHadamard, hadamardMatrix } from "../../src/model/stored_transforms.ts";
import { transformConfig, transformTensor } from "../../src/model/transform_config.ts";
import { rotateValues } from "../../src/numerics/hadamard.ts";
import { withFolder } from "../support/io.ts";

/** Inputs of 576, 96 and 48 features: blocks of 64, 32 and 16. */
const llama = {
  model_type: "llama",
  vocab_size: 100,
  hidden_size: 576,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 3,
  head_dim: 8,
};
const KINDS = new Map([
  [64, ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]],
  [16, ["o_proj"]],
  [32, ["down_proj"]],
]);

function parse(transform_config: unknown, more: object = {}) {
  const scheme = { format: "int8", weights: "row", activations: "row" } as const;
  const quantization_config = { ...quantizationBlock(scheme), transform_config };
  return parseModelConfig({ ...llama, ...more, quantization_config }, "the config");
}

const transformsOf = (config: unknown) => parse(config).quantization!.transforms;

Deno.test("the transform block that is written is read back", () => {
  const { quantization } = parse(transformConfig(KINDS));
  const { rotations, matrices } = quantization!.transforms;
  const wanted = [0, 1].flatMap((layer) =>
    [...KINDS].flatMap(([size, kinds]) =>
      kinds.map((kind) => {
        const part = kind.length === 6 ? "self_attn" : "mlp";
        return [`model.layers.${layer}.${part}.${kind}`, size] as const;
      })
    )
  );
  assertEquals(rotations, new Map(wanted.map(([module, size]) => [`${module}.weight`, size])));
  const names = wanted.map(([module, size]) => [transformTensor(module, size), size] as const);
  assertEquals(matrices, new Map(names));
});

Deno.test("modules that are not rotated are left out of the kinds that are", () => {
  const ignored = "model.layers.1.mlp.down_proj";
  const { rotations, matrices } = transformsOf(transformConfig(KINDS, [ignored]));
  const all = transformsOf(transformConfig(KINDS));
  assertEquals(rotations.size, all.rotations.size - 1);
  assertEquals(matrices.size, all.matrices.size - 1);
  assertEquals(rotations.has(`${ignored}.weight`), false);
});

/** A group as llm-compressor writes R4, with changes. */
function group(change: object = {}, apply: object = {}) {
  const entry = { targets: ["re:.*down_proj$"], location: "input", inverse: false, ...apply };
  return {
    config_groups: {
      R4: {
        type: "hadamard",
        apply: [entry],
        head_dim: 4,
        randomize: false,
        requires_grad: false,
        precision: "torch.float64",
        ...change,
      },
    },
  };
}

Deno.test("blocks on inputs of linear layers are read in every spelling", () => {
  const down = new Map([0, 1].map((i) => [`model.layers.${i}.mlp.down_proj.weight`, 4] as const));
  assertEquals(transformsOf(group()).rotations, down);
  assertEquals(
    transformsOf(group({}, { targets: "re:.*down_proj$", inverse: true })).rotations,
    down,
  );
  const first = group({}, { targets: ["model.layers.0.mlp.down_proj"] });
  assertEquals([...transformsOf(first).rotations.keys()], ["model.layers.0.mlp.down_proj.weight"]);
  const all = group({}, { targets: ["Linear"], ignore: ["re:.*o_proj", "lm_head"] });
  assertEquals(transformsOf(all).rotations.size, 2 * 6);
  for (const nothing of [null, {}, group({ head_dim: 1 }), { config_groups: {} }]) {
    assertEquals(transformsOf(nothing).rotations.size, 0);
  }
  const whole = parse(group({ head_dim: null }), { intermediate_size: 128 });
  assertEquals([...whole.quantization!.transforms.rotations.values()], [128, 128]);
  const stored = group({}, { location: "weight_output", targets: ["re:.*v_proj$"] });
  assertEquals(transformsOf(stored).rotations.size, 0);
});

Deno.test("other transforms are refused by name", () => {
  const cases: [unknown, string][] = [
    [{ config_groups: {}, more: 1 }, "more in transform_config"],
    [group({ type: "random-hadamard" }), "type in R4"],
    [group({ randomize: true }), "randomize in R4"],
    [group({ head_dim: 3 }), "head_dim in R4"],
    [group({ head_dim: 64 }), "a power of two up to 256 that divides the 96 inputs"],
    [group({ head_dim: null }), "head_dim in R4"],
    [group({ seed: 1 }), "seed in R4"],
    [group({ apply: "all" }), "apply in R4"],
    [group({}, { location: "output" }), "location in apply[0] in R4"],
    [group({}, { location: "k_cache" }), "location in apply[0] in R4"],
    [group({}, { when: 1 }), "when in apply[0] in R4"],
    [group({}, { targets: ["Linear"] }), 'not of "lm_head"'],
    [group({}, { targets: ["re:.*mlp"] }), 'not of "model.layers.0.mlp"'],
    [group({}, { targets: ["LlamaMLP"] }), "targets in apply[0]"],
    [group({}, { targets: ["re:("] }), "regular expressions"],
    [group({}, { targets: 3 }), "targets in apply[0]"],
  ];
  for (const [config, message] of cases) {
    assertThrows(() => parse(config), ModelError, message);
  }
  const twice = { config_groups: { A: group().config_groups.R4, B: group().config_groups.R4 } };
  assertThrows(() => parse(twice), ModelError, "B in config_groups");
});

Deno.test("the matrix of a transform is that of the rotation, and a file's must be it", () =>
  withFolder(async (folder) => {
    for (const size of [1, 2, 64]) {
      const matrix = hadamardMatrix(size);
      const unit = new Float32Array(size * size);
      for (let i = 0; i < size; i++) unit[i * size + i] = 1;
      const rotated = rotateValues(unit, size).map((value) => Math.round(value * Math.sqrt(size)));
      assertEquals(rotated, matrix);
    }
    const matrix = hadamardMatrix(4);
    const other = matrix.slice();
    other[5] *= -1;
    const tensor = (name: string, values: Float32Array<ArrayBuffer>, shape: number[]) => ({
      name,
      dtype: "F32" as const,
      shape,
      data: () => fromFloat32(values, "F32"),
    });
    await writeSafetensors(`${folder}/model.safetensors`, [
      tensor("right", matrix, [4, 4]),
      tensor("wrong", other, [4, 4]),
      tensor("flat", matrix, [16]),
      {
        name: "f64",
        dtype: "F64",
        shape: [4, 4],
        data: () => new Uint8Array(Float64Array.from(matrix).buffer),
      },
    ]);
    using weights = await Weights.open(folder);
    await expectHadamard(weights, "right", 4);
    await expectHadamard(weights, "f64", 4);
    for (const [name, size] of [["wrong", 4], ["flat", 4], ["right", 2]] as const) {
      const message = `"${name}" is not the Hadamard matrix of ${size} rows`;
      await assertRejects(() => expectHadamard(weights, name, size), ModelError, message);
    }
  }));
