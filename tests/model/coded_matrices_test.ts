import { assert, assertEquals, assertRejects } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { fromFloat32 } from "../../src/io/dtype.ts";
import { Model } from "../../src/inference/model.ts";
import { openDryGpu } from "../support/dry_gpus.ts";
import { withFolder } from "../support/io.ts";
import {
  compressedTensors,
  type QuantizedModelOptions,
  type Scheme,
  SCHEMES,
  type Stored,
  writeQuantizedModel,
} from "../support/quantized_model.ts";

const Q = "model.layers.1.self_attn.q_proj";
const WEIGHT = `${Q}.weight`;

/** Writes the tiny model by a scheme, and loads it. */
function load(scheme: Scheme, options: QuantizedModelOptions = {}): Promise<void> {
  return withFolder(async (folder) => {
    await writeQuantizedModel(folder, scheme, options);
    using _ = await Model.load(folder, { device: openDryGpu(), onNotice() {} });
  });
}

/** Replaces fields of a tensor. */
const change = (name: string, more: Partial<Stored>) => (tensors: Map<string, Stored>) => {
  const tensor = tensors.get(name);
  assert(tensor, name);
  tensors.set(name, { ...tensor, ...more });
};

/** Replaces the values of an F32 tensor. */
const values = (...numbers: number[]): Partial<Stored> => ({
  dtype: "F32",
  data: () => fromFloat32(Float32Array.from(numbers), "F32"),
});

Deno.test("every scheme is opened, with its scales claimed", async () => {
  for (const scheme of Object.values(SCHEMES)) await load(scheme);
});

Deno.test("zero points are accepted where they are zero", async () => {
  const zeroPoint = (byte: number) => (tensors: Map<string, Stored>) =>
    tensors.set(`${Q}.weight_zero_point`, {
      name: `${Q}.weight_zero_point`,
      dtype: "I8",
      shape: [60, 1],
      data: () => new Uint8Array(60).fill(byte, 59),
    });
  const scheme = SCHEMES["compressed-tensors, int8"];
  await load(scheme, { edit: zeroPoint(0) });
  await assertRejects(
    () => load(scheme, { edit: zeroPoint(1) }),
    ModelError,
    "has other values than zero",
  );
});

Deno.test("files that do not fit their scheme are refused by the name of the tensor", async () => {
  const row = "compressed-tensors, FP8 per row";
  const block = "fp8 per block";
  const fixed = "compressed-tensors, FP8 static";
  const cases: [keyof typeof SCHEMES, (tensors: Map<string, Stored>) => void, string][] = [
    [
      row,
      (t) => t.delete(`${Q}.weight_scale`),
      `"${WEIGHT}" as it is stored as F8_E4M3 and "${Q}.weight_scale" is missing`,
    ],
    [block, (t) => t.delete(`${Q}.weight_scale_inv`), `"${Q}.weight_scale_inv" is missing`],
    [fixed, (t) => t.delete(`${Q}.input_scale`), `"${Q}.input_scale" is missing`],
    ["fp8 static", (t) => t.delete(`${Q}.activation_scale`), `"${Q}.activation_scale" is missing`],
    [
      row,
      change(`${Q}.weight_scale`, { shape: [1, 60] }),
      "its shape is [1,60]: config.json asks for [60,1] or [60], one scale per row of the 60×52 matrix",
    ],
    [
      row,
      change(`${Q}.weight_scale`, { shape: [1], ...values(1) }),
      "its shape is [1]: config.json asks for [60,1]",
    ],
    [
      fixed,
      change(`${Q}.weight_scale`, { shape: [2], ...values(1, 1) }),
      "its shape is [2]: config.json asks for [] or [1] or [1,1], one scale per tensor",
    ],
    [
      fixed,
      change(`${Q}.input_scale`, { shape: [2], ...values(1, 1) }),
      `"${Q}.input_scale" as its shape is [2]`,
    ],
    [
      block,
      change(`${Q}.weight_scale_inv`, { shape: [3, 4] }),
      "its shape is [3,4]: config.json asks for [4,3], one scale per block of 16×24",
    ],
    [
      fixed,
      change(`${Q}.weight_scale`, values(NaN)),
      "its value 0 is NaN: scales must be positive",
    ],
    [fixed, change(`${Q}.weight_scale`, values(0)), "its value 0 is 0: scales must be positive"],
    [
      fixed,
      change(`${Q}.weight_scale`, values(-0.5)),
      "its value 0 is -0.5: scales must be positive",
    ],
    [
      fixed,
      change(`${Q}.weight_scale`, values(Infinity)),
      "its value 0 is Infinity: scales must be positive",
    ],
    [fixed, change(`${Q}.weight_scale`, values(1e-40)), "from 2^-126 to 2^118"],
    [fixed, change(`${Q}.input_scale`, values(-1)), `"${Q}.input_scale" as its value 0 is -1`],
    [
      block,
      change(`${Q}.weight_scale_inv`, values(1, 1, 1, 1, 1, 1, 1, -2, 1, 1, 1, 1)),
      "its value 7 is -2",
    ],
    [
      fixed,
      change(`${Q}.weight_scale`, { dtype: "U8", data: () => new Uint8Array(1) }),
      "its dtype is U8: scales must be F32, F16 or BF16",
    ],
    [
      fixed,
      change(`${Q}.weight_scale`, { dtype: "F8_E8M0", data: () => new Uint8Array(1) }),
      "its dtype is F8_E8M0",
    ],
    [
      row,
      change(WEIGHT, { dtype: "I8" }),
      `"${WEIGHT}" as its dtype is I8: the quantization_config in config.json asks for F8_E4M3`,
    ],
    [row, change(WEIGHT, { dtype: "F8_E5M2" }), "its dtype is F8_E5M2"],
    ["compressed-tensors, int8", change(WEIGHT, { dtype: "F8_E4M3" }), "asks for I8"],
    [
      row,
      change("lm_head.weight", { dtype: "F8_E4M3", data: () => new Uint8Array(269 * 52) }),
      '"lm_head.weight" as its dtype is F8_E4M3: it must be F32, F16 or BF16, as only the linear layers',
    ],
    // Scales of what is not quantised, or under names of others.
    [
      row,
      (t) => t.set("x", { ...t.get(`${Q}.weight_scale`)!, name: "lm_head.weight_scale" }),
      '"lm_head.weight_scale" that its model_type and config have no use for',
    ],
    [
      row,
      (t) => t.set("x", { ...t.get(`${Q}.weight_scale`)!, name: `${Q}.input_scale` }),
      `"${Q}.input_scale" that its model_type`,
    ],
    [
      row,
      (t) => t.set("x", { ...t.get(`${Q}.weight_scale`)!, name: `${Q}.weight_scale_inv` }),
      `"${Q}.weight_scale_inv" that`,
    ],
    [
      "AutoFP8",
      (t) => t.set("x", { ...t.get(`${Q}.weight_scale`)!, name: `${Q}.k_scale` }),
      `"${Q}.k_scale" that`,
    ],
  ];
  for (const [scheme, edit, message] of cases) {
    await assertRejects(() => load(SCHEMES[scheme], { edit }), ModelError, message, message);
  }
});

Deno.test("codes that a list says are none, and codes without a quantization_config, are refused", async () => {
  const channel = SCHEMES["compressed-tensors, FP8 per row"];
  for (const entry of [Q, "re:.*q_proj"]) {
    const quantization = compressedTensors({ strategy: "channel" }, { strategy: "token" }, {
      ignore: ["lm_head", entry],
    });
    await assertRejects(
      () => load({ ...channel, quantization }),
      ModelError,
      `config.json says by "${entry}" that it is not quantised`,
    );
    await load({ ...channel, quantization }, { unquantised: ["q_proj"] });
  }
  await withFolder(async (folder) => {
    await writeQuantizedModel(folder, channel);
    const path = `${folder}/config.json`;
    const { quantization_config: _, ...config } = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(path, JSON.stringify(config));
    await assertRejects(
      () => Model.load(folder, { device: openDryGpu() }),
      ModelError,
      "config.json has no quantization_config that says by which scales",
    );
  });
});

Deno.test("scales beside weights that were decoded are left aside, if config.json says so", async () => {
  const channel = SCHEMES["compressed-tensors, FP8 per row"];
  const edit = (tensors: Map<string, Stored>) => {
    for (const [name, tensor] of tensors) {
      if (tensor.dtype !== "F8_E4M3") continue;
      const count = tensor.shape.reduce((a, b) => a * b);
      tensors.set(name, { ...tensor, dtype: "F32", data: () => new Uint8Array(4 * count) });
    }
  };
  const of = (quantization_status: string) =>
    compressedTensors({ strategy: "channel" }, { strategy: "token" }, { quantization_status });
  await load({ ...channel, quantization: of("decompressed") }, { edit });
  await assertRejects(
    () => load({ ...channel, quantization: of("compressed") }, { edit }),
    ModelError,
    "_proj.weight_scale",
  );
});

Deno.test("what of a scheme is not followed is told once", () =>
  withFolder(async (folder) => {
    const told: Record<string, string[]> = {};
    for (const [name, scheme] of Object.entries(SCHEMES)) {
      const notices: string[] = told[name] = [];
      await writeQuantizedModel(folder, scheme);
      using _ = await Model.load(folder, {
        device: openDryGpu(),
        onNotice: (notice) => notices.push(notice),
      });
    }
    const found = "where activations are rounded, each token has one scale, found as it comes";
    const unused = [`the model's stored scales of activations are not used: ${found}`];
    const groups = (count: number) => [
      `the model wants a scale for each ${count} values of an activation: ${found}`,
    ];
    assertEquals(told, {
      "compressed-tensors, FP8 per row": [],
      "compressed-tensors, FP8 static": unused,
      "compressed-tensors, FP8 per block": groups(128),
      "compressed-tensors, int8": [],
      "fp8 per block": groups(24),
      "fp8 static": unused,
      AutoFP8: unused,
    });
  }));
