/** Blocks with norms before or behind their branches, or with scaled ones, against the oracle. */

import { assert, assertEquals } from "@std/assert";
import { falqon, full, lora, type Method } from "../../mod.ts";
import { rowsOf } from "../../src/gpu/buffers.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import { dequantize } from "../../src/kernels/rows/quantize.ts";
import { rotate } from "../../src/kernels/rows/rotation.ts";
import { weightName } from "../../src/layers/load.ts";
import { isTrained } from "../../src/layers/dense_table.ts";
import { readNamed } from "../../src/layers/named_dense.ts";
import type { AdaptedLayers, Linear } from "../../src/layers/method.ts";
import type { FalqonLinear } from "../../src/methods/falqon/linear.ts";
import { CachedText } from "../../src/model/cached_text.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { CROSS_ENTROPY } from "../../src/model/loss.ts";
import { Network } from "../../src/model/network.ts";
import type { LayerPlan, ModelPlan, NormPlan } from "../../src/model/plan.ts";
import type { TokenArrays } from "../../src/model/token_buffers.ts";
import { TrainingStep } from "../../src/model/training_step.ts";
import { relativeError } from "../oracle/compare.ts";
import { shiftLabels } from "../oracle/loss.ts";
import { matmulNT, matmulTN } from "../oracle/matmul.ts";
import { ReferenceModel } from "../oracle/model.ts";
import { packDocuments, type TokenStream } from "../oracle/token_stream.ts";
import { device } from "../support/device.ts";
import { openDryGpu, openDryTensorGpu } from "../support/dry_gpus.ts";
import { type PlannedModel, plannedModel } from "../support/planned_model.ts";
import { randomGenerator, randomValues } from "../support/random.ts";
import { recordStep } from "../support/written_program.ts";

const RANK = 5;
const C = 2; // alpha / rank

/** The norms of a layer: a name for each that there is, and whether they multiply by 1 + weight. */
function norms(
  plan: ModelPlan,
  layer: number,
  wanted: readonly (keyof LayerPlan["norms"])[],
  weightOffset: 0 | 1,
): LayerPlan["norms"] {
  const norm = (at: keyof LayerPlan["norms"]): NormPlan | null =>
    wanted.includes(at)
      ? { ...plan.finalNorm, weightOffset, tensor: `model.layers.${layer}.${at}.weight` }
      : null;
  return {
    attentionIn: norm("attentionIn"),
    attentionOut: norm("attentionOut"),
    mlpIn: norm("mlpIn"),
    mlpOut: norm("mlpOut"),
  };
}

const BEFORE = ["attentionIn", "mlpIn"] as const;
const BEHIND = ["attentionOut", "mlpOut"] as const;

/** Changes every layer, and the embedding and the final norm. */
function changed(
  change: (layer: LayerPlan, index: number, plan: ModelPlan) => Partial<LayerPlan>,
  scale = 1,
  weightOffset: 0 | 1 = 0,
): (plan: ModelPlan) => ModelPlan {
  return (plan) => ({
    ...plan,
    embedding: { ...plan.embedding, scale },
    layers: plan.layers.map((layer, i) => ({ ...layer, ...change(layer, i, plan) })),
    finalNorm: { ...plan.finalNorm, weightOffset },
  });
}

const withGelu = ({ mlp }: LayerPlan) => ({ mlp: { ...mlp, activation: "geluTanh" as const } });

/** Of each layer of the last kind, which norms there are: all that can meet, in one model. */
const MIXED: readonly (readonly (keyof LayerPlan["norms"])[])[] = [
  ["attentionIn", "mlpOut"],
  ["attentionOut"],
  ["attentionIn", "attentionOut", "mlpIn"],
];

/** Windows in the first layers; in the last one larger heads, whose keys are their values. */
const GEMMA4 = {
  model_type: "gemma4_text",
  layer_types: ["sliding_attention", "sliding_attention", "full_attention"],
  sliding_window: 5,
  per_layer_config: { 2: { head_dim: 14, num_key_value_heads: 3 } },
  attention_k_eq_v: true,
  hidden_size_per_layer_input: 0,
  final_logit_softcapping: 4,
};

/** Five layers with inputs of the tokens, of which the last three take keys and values of others. */
const GEMMA4_E = {
  ...GEMMA4,
  num_hidden_layers: 5,
  layer_types: [
    ...["sliding_attention", "full_attention"],
    ...["full_attention", "sliding_attention", "full_attention"],
  ],
  per_layer_config: { 1: { head_dim: 14 }, 2: { head_dim: 14 }, 4: { head_dim: 14 } },
  attention_k_eq_v: false,
  num_kv_shared_layers: 3,
  use_double_wide_mlp: true,
  hidden_size_per_layer_input: 6,
  vocab_size_per_layer_input: 70,
};

const E_MODEL = "inputs of the tokens, keys and values of other layers, as Gemma 4 E";

/** Scores that are not divided by the root of a head make more of rounding, from layer to layer. */
function roundingOf(kind: string): number {
  return kind === E_MODEL ? 3 : 1;
}

const KINDS: Record<string, () => PlannedModel> = {
  "norms of 1 + w and a GELU gate, as Gemma": () =>
    plannedModel(
      changed(
        (layer, i, plan) => ({ norms: norms(plan, i, BEFORE, 1), ...withGelu(layer) }),
        Math.sqrt(52),
        1,
      ),
      { tie_word_embeddings: true },
    ),
  "norms before and behind, as Gemma 2": () =>
    plannedModel(
      changed(
        (layer, i, plan) => ({
          norms: norms(plan, i, [...BEFORE, ...BEHIND], 1),
          ...withGelu(layer),
        }),
        Math.sqrt(52),
        1,
      ),
    ),
  "norms behind only, as OLMo 2": () =>
    plannedModel(changed((_, i, plan) => ({ norms: norms(plan, i, BEHIND, 0) }))),
  "scaled branches, as Granite": () => plannedModel(changed(() => ({ residualScale: 0.22 }), 6)),
  "layers of two sizes, normed values, keys as values and scaled blocks, as Gemma 4": () =>
    plannedModel((plan) => plan, GEMMA4),
  [E_MODEL]: () => plannedModel((plan) => plan, GEMMA4_E),
  "layers of several kinds": () =>
    plannedModel(changed((_, i, plan) => ({ norms: norms(plan, i, MIXED[i], 0) }))),
};

/** Three documents, the targets of the first one's beginning left out. */
const DOCUMENTS = [[1, 5, 3, 20, 66, 7], [7], [2, 10, 2, 4, 0, 33, 41, 12, 12, 50, 61, 9, 30]];
const TOKENS = packDocuments(DOCUMENTS);
const ROWS = TOKENS.inputIds.length;
const LABELS = Array.from(TOKENS.inputIds, (id, t) => t < 3 ? -100 : id);
const TARGETS = shiftLabels(LABELS, TOKENS.documentStart);

function arraysOf({ inputIds, positions, documentStart }: TokenStream): TokenArrays {
  const ends = DOCUMENTS.flatMap((document, i) => {
    const end = DOCUMENTS.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0);
    return document.map(() => end);
  });
  return {
    inputIds: Uint32Array.from(inputIds),
    targets: Int32Array.from(TARGETS),
    positions: Uint32Array.from(positions),
    documentStart: Uint32Array.from(documentStart),
    documentEnd: Uint32Array.from(ends),
  };
}

function open({ config, source }: PlannedModel, method: Method): Promise<Network> {
  const random = randomGenerator(7);
  const made = { device, config, source, random };
  return Network.create({ ...made, method, gradients: true, moments: false });
}

/** Losses of the tokens, and gradients of the parameters by name, after a micro-step. */
async function run(network: Network, checkpointing = false) {
  using step = await TrainingStep.create(network, ROWS, {
    loss: CROSS_ENTROPY,
    optimizer: null,
    checkpointing,
  });
  const [flat] = network.parameters.gradients;
  device.write(flat, new Float32Array(flat.size / 4));
  await step.begin({
    step: 1,
    learningRate: 0,
    targetCount: TARGETS.filter((id) => id >= 0).length,
  });
  step.accumulate(arraysOf(TOKENS));
  const losses = new Float32Array(await device.read(network.rowLoss)).slice(0, ROWS);
  const gradients = new Map<string, Float32Array>();
  for (const { name, gradient } of network.parameters.list) {
    gradients.set(name, await device.readMatrix(gradient));
  }
  return { losses, gradients };
}

function referenceOf(
  { config }: PlannedModel,
  parameters: Iterable<[string, ArrayLike<number>]>,
): ReturnType<ReferenceModel["lossAndGradients"]> {
  const wide = [...parameters].map(([name, values]) => [name, Float64Array.from(values)] as const);
  return new ReferenceModel(config, new Map(wide)).lossAndGradients(TOKENS, TARGETS);
}

const mean = (losses: Float32Array, count: number) =>
  losses.reduce((sum, loss) => sum + loss, 0) / count;

Deno.test("losses and gradients of every kind of block are the oracle's, kept or computed again", async () => {
  for (const [kind, make] of Object.entries(KINDS)) {
    const model = make();
    using network = await open(model, full());
    const { losses, gradients } = await run(network);
    const want = referenceOf(model, model.parameters);
    const off = Math.abs(mean(losses, want.count) - want.loss);
    assert(off < 2e-6, `${kind}: the loss is off by ${off}`);
    const got = new Map<string, Float32Array>();
    for (const [name, dense] of network.dense) {
      if (isTrained(dense)) got.set(name, await readNamed(device, dense, "gradient"));
    }
    for (const linear of network.linears()) {
      for (const [i, part] of linear.spec.parts.entries()) {
        got.set(weightName(part), await linear.readGradient!(i));
      }
    }
    assertEquals([...got.keys()].sort(), [...want.gradients.keys()].sort(), kind);
    for (const [name, gradient] of want.gradients) {
      const error = relativeError(got.get(name)!, gradient);
      assert(error < 2e-5 * roundingOf(kind), `${kind}: ${name} is off by ${error}`);
    }
    network.release();
    assertEquals(await run(network, true), { losses, gradients }, `${kind}, computed again`);
    // The file's w, not 1 + w.
    for (const name of network.dense.keys()) {
      assertEquals(await network.readParameter(name), model.parameters.get(name), name);
    }
  }
});

Deno.test("LoRA's gradients in every kind of block are the oracle's", async () => {
  for (const [kind, make] of Object.entries(KINDS)) {
    const model = make();
    using network = await open(model, lora({ rank: RANK, alpha: C * RANK }));
    const { list } = network.parameters;
    for (const [i, { name, rows, cols, value }] of list.entries()) {
      if (name.endsWith("lora_B")) device.writeMatrix(value, randomValues(rows * cols, i, 0.05));
    }
    const { losses, gradients } = await run(network);
    const merged = new Map<string, ArrayLike<number>>(model.parameters);
    for (const linear of network.linears()) {
      for (const [i, part] of linear.spec.parts.entries()) {
        merged.set(weightName(part), await linear.readWeight(i));
      }
    }
    const want = referenceOf(model, merged);
    const off = Math.abs(mean(losses, want.count) - want.loss);
    assert(off < 2e-6, `${kind}: the loss is off by ${off}`);
    for (const { spec } of network.linears()) {
      const a = list.find(({ name }) => name === `${spec.name}.lora_A`)!;
      const values = Float64Array.from(await device.readMatrix(a.value));
      const dA = Float64Array.from(gradients.get(a.name)!);
      for (const [i, part] of spec.parts.entries()) {
        const { cols: inputs } = a;
        const of = (all: Float64Array) => all.slice(16 * i * inputs, (16 * i + RANK) * inputs);
        const b = list.find(({ name }) => name === `${part.module}.lora_B`)!;
        const bValues = Float64Array.from(await device.readMatrix(b.value));
        const dW = want.gradients.get(weightName(part))!;
        const wantA = matmulTN(bValues, dW, RANK, inputs, part.rows).map((d) => C * d);
        const wantB = matmulNT(dW, of(values), part.rows, RANK, inputs).map((d) => C * d);
        const errors = [relativeError(of(dA), wantA), relativeError(gradients.get(b.name)!, wantB)];
        assert(
          Math.max(...errors) < 5e-5 * roundingOf(kind),
          `${kind}: ${part.module} is off by ${errors}`,
        );
      }
    }
    network.release();
    assertEquals(await run(network, true), { losses, gradients }, `${kind}, computed again`);
  }
});

const FALQONS: [string, Method][] = [
  ["fp8", falqon({ rank: RANK, alpha: C * RANK, updateRule: "stochastic" })],
  ["int8", falqon({ rank: RANK, alpha: C * RANK, updateRule: "stochastic", format: "int8" })],
  [
    "int8 per tensor",
    falqon({ rank: RANK, alpha: C * RANK, format: "int8", scaleGranularity: "tensor" }),
  ],
  [
    "int8, A trained as well",
    falqon({
      rank: RANK,
      alpha: C * RANK,
      updateRule: "stochastic",
      format: "int8",
      trainA: true,
    }),
  ],
];

/** A layer that takes no codes: it quantises what it reads itself. */
function withoutCodes(linear: Linear): Linear {
  return new Proxy(linear, {
    get(target, name) {
      if (name === "inputCodes" || name === "gradientCodes") return () => null;
      if (name === "forwardReadsF32") return true;
      if (name === "backwardReadsInput") {
        return target.backwardReadsInput || target.backwardReadsCodes;
      }
      if (name === "preferredGradientType") return "f32";
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function quantisingByItself(method: Method): Method {
  return {
    ...method,
    build: (context) => {
      const layers = method.build(context);
      const linear: AdaptedLayers["linear"] = (spec) => withoutCodes(layers.linear(spec));
      return new Proxy(layers, {
        get(target, name) {
          if (name === "linear") return linear;
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
}

/** A of part `index`, as the codes have it. */
async function decodedA(linear: FalqonLinear, index: number): Promise<Float64Array> {
  const { spec: { width, inFeatures }, layout, weight, scales, rotation } = linear;
  const out = device.matrix(weight.rows, inFeatures, "f32", "decoded");
  await submitOnce(device, (program) => {
    dequantize(program, { codes: weight, scales, out });
    rotate(program, { input: out, block: rotation });
  });
  const a = await device.readMatrix(rowsOf(out, width + layout.parts[index].start, RANK));
  device.free(out);
  return Float64Array.from(a);
}

Deno.test("FALQON in every kind of block takes the codes that kernels write for it, and its gradients are the oracle's", async () => {
  for (const [kind, make] of Object.entries(KINDS)) {
    for (const [name, method] of FALQONS) {
      const label = `${kind}, ${name}`;
      const model = make();
      using network = await open(model, method);
      const fused = await run(network);
      network.release();
      assertEquals(await run(network, true), fused, `${label}, computed again`);
      using apart = await open(model, quantisingByItself(method));
      assertEquals(await run(apart), fused, `${label}, quantised apart`);

      // Coarser rounding moves the gradients of so small a model by half of them, or of so many layers.
      if (name !== "int8" || kind === E_MODEL) continue;
      const dequantised = new Map<string, ArrayLike<number>>(model.parameters);
      for (const linear of network.linears()) {
        for (const [i, part] of linear.spec.parts.entries()) {
          dequantised.set(weightName(part), await linear.readWeight(i));
        }
      }
      const want = referenceOf(model, dequantised);
      const off = Math.abs(mean(fused.losses, want.count) - want.loss);
      assert(off < 0.02, `${label}: the loss is off by ${off}`);
      for (const linear of network.linears() as FalqonLinear[]) {
        for (const [i, part] of linear.spec.parts.entries()) {
          const dW = want.gradients.get(weightName(part))!;
          const a = await decodedA(linear, i);
          const wanted = matmulNT(dW, a, part.rows, RANK, linear.spec.inFeatures);
          const got = fused.gradients.get(`${part.module}.falqon_B`)!;
          const error = relativeError(got, wanted.map((d) => C * d));
          assert(error < 0.2, `${label}: ${part.module} is off by ${error}`);
        }
      }
    }
  }
});

Deno.test("on every GPU, kernels that stand before linear layers write what these read", async () => {
  const { config: plain } = plannedModel((plan) => plan);
  // Without a norm before it, qkv quantises its input itself, as gate and up do where none is behind attention
  // either, and then o its gradient; and what they leave is added to the gradient of the stream.
  const more: Record<string, [quantized: number, added: number]> = {
    "norms behind only, as OLMo 2": [3, 5],
    "layers of several kinds": [3, 3],
  };
  for (const open of [openDryGpu, openDryTensorGpu]) {
    for (const [name, method] of FALQONS.slice(0, 2)) {
      const counts = async (config: ModelConfig, checkpointing: boolean) => {
        const lines = await recordStep(open(), config, method, checkpointing);
        const count = (kernel: string) =>
          lines.filter((line) => line.trim().split(" ")[0] === kernel).length;
        return [count("quantize_rows"), count("add") + count("rotate")];
      };
      const usual = await counts(plain, false);
      for (const [kind, make] of Object.entries(KINDS)) {
        const { config } = make();
        const got = await counts(config, false);
        const surplus = got.map((count, i) => count - usual[i]);
        if (kind === E_MODEL) { // two more layers, and in each a gate that reads the stream as it is
          assertEquals(surplus, name === "int8" ? [15, 13] : [15, 6], name);
          continue;
        }
        assertEquals(surplus, more[kind] ?? [0, 0], `${kind}, ${name}`);
        await counts(config, true);
      }
    }
  }
});

Deno.test("a text that grows by tokens in every kind of block has the logits of the whole text", async () => {
  const ids = DOCUMENTS[2];
  for (const [kind, make] of Object.entries(KINDS)) {
    for (const [name, method] of [["full", full()], FALQONS[1]] as const) {
      const model = make();
      using network = await open(model, method);
      const logitsOf = async (count: number) => {
        using text = new CachedText(network, count);
        await text.append(ids.slice(0, count));
        return await text.logits();
      };
      // Linear layers take eight rows at a time.
      network.reserve({ tokens: 8, training: false, checkpointing: false });
      using text = new CachedText(network, ids.length);
      await text.append(ids.slice(0, 10));
      for (let count = 10; count <= ids.length; count++) {
        if (count > 10) await text.append([ids[count - 1]]);
        const error = relativeError(await text.logits(), await logitsOf(count));
        assert(error < (name === "full" ? 1e-5 : 1e-2), `${kind}, ${name}, ${count}: ${error}`);
      }
      if (name !== "full") continue;
      const reference = new ReferenceModel(
        model.config,
        new Map([...model.parameters].map(([name, values]) => [name, Float64Array.from(values)])),
      );
      const want = reference.logits(packDocuments([ids])).slice(-67);
      const error = relativeError(await text.logits(), want);
      assert(error < 1e-5, `${kind}: ${error}`);
    }
  }
});
