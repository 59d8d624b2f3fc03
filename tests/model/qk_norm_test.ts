/** Whole steps of models with norms of queries and keys, against the oracle and against each other. */

import { assert, assertEquals } from "@std/assert";
import { layoutOf, type Matrix, pitched } from "../../src/gpu/buffers.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import type { Method } from "../../src/layers/method.ts";
import { readNamed } from "../../src/layers/named_dense.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import type { FalqonLinear } from "../../src/methods/falqon/linear.ts";
import type { FalqonOptions } from "../../src/methods/falqon/settings.ts";
import { full } from "../../src/methods/full.ts";
import type { LoraLinear } from "../../src/methods/lora/linear.ts";
import { fp8Lora, int8Lora, lora, qlora } from "../../src/methods/lora/lora.ts";
import { activationTypes } from "../../src/model/activation_types.ts";
import { type ModelConfig, modelTensorShapes, parseModelConfig } from "../../src/model/config.ts";
import { Network } from "../../src/model/network.ts";
import type { QkNormPlan, RopePlan } from "../../src/model/plan.ts";
import { type TokenArrays, writeTokens } from "../../src/model/token_buffers.ts";
import { formatOf } from "../../src/numerics/formats.ts";
import { rotateValues } from "../../src/numerics/hadamard.ts";
import { decodeCodes } from "../oracle/codes.ts";
import { relativeError } from "../oracle/compare.ts";
import { shiftLabels } from "../oracle/loss.ts";
import { matmulNT } from "../oracle/matmul.ts";
import { ReferenceModel } from "../oracle/model.ts";
import { documentBounds, packDocuments } from "../oracle/token_stream.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { fromPanels } from "../support/panels.ts";
import { randomGenerator, randomValues } from "../support/random.ts";

/** Two documents, the shorter first. */
const LENGTHS = [9, 28];
const IDS = LENGTHS.map((length, d) =>
  Array.from({ length }, (_, i) => 3 + (i * i * 37 + 11 * d) % 250)
);
const TOKENS = packDocuments(IDS);
const TARGETS = shiftLabels(TOKENS.inputIds, TOKENS.documentStart);
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

/** The parameters as a network loads them. */
function sourceOf(parameters: Map<string, Float32Array>): WeightSource {
  return {
    rows: (name, [, cols], first, count) =>
      Promise.resolve(
        Float32Array.from(parameters.get(name)!.subarray(first * cols, (first + count) * cols)),
      ),
    codes: () => Promise.resolve(null),
  };
}

interface Step {
  network: Network;
  losses: Float32Array;
  gradients: Map<string, Float32Array>;
}

/** Builds a network, whose adapters add something, and runs a step. */
async function withStep(
  norm: Norm,
  headDim: number,
  method: Method,
  use: (step: Step) => Promise<void>,
  { checkpointing = false, f16 = false } = {},
): Promise<void> {
  const config = configWith(norm, headDim);
  device.tuning = { ...device.tuning, f16Storage: { activations: f16, gradients: f16 } };
  await using _ = expectAllFreed();
  using network = await Network.create({
    device,
    config,
    method,
    source: sourceOf(randomParameters(config, norm)),
    random: randomGenerator(1),
    gradients: true,
    moments: false,
  });
  const { parameters } = network;
  for (const parameter of parameters.list) {
    const { name, rows, cols } = parameter;
    if (!name.endsWith("lora_B")) continue;
    const { value } = parameter;
    device.write(value, pitched(randomValues(rows * cols, 2, 0.1), rows, cols, value.pitch));
  }
  await network.layers.refresh?.();
  network.reserve({ tokens: TARGETS.length, training: true, checkpointing });
  writeTokens(device, network.tokens, arrays());
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  const targetCount = TARGETS.filter((target) => target >= 0).length;
  state.begin({ step: 1, learningRate: 0, targetCount });
  await submitOnce(device, (program) => network.recordTraining(program, TARGETS.length, state));
  const losses = new Float32Array(await device.read(network.rowLoss)).slice(0, TARGETS.length);
  const gradients = new Map<string, Float32Array>();
  for (const { name, gradient } of parameters.list) {
    gradients.set(name, await device.readMatrix(gradient));
  }
  await use({ network, losses, gradients });
}

/** The two documents as a step. */
function arrays(): TokenArrays {
  const bounds = documentBounds(LENGTHS);
  return {
    inputIds: Uint32Array.from(TOKENS.inputIds),
    targets: Int32Array.from(TARGETS),
    positions: Uint32Array.from(TOKENS.positions),
    documentStart: bounds.filter((_, i) => i % 2 === 0),
    documentEnd: bounds.filter((_, i) => i % 2 === 1),
  };
}

/** What the oracle says of the weights that a network has. */
async function reference(network: Network) {
  const parameters = new Map<string, Float64Array>();
  for (const name of modelTensorShapes(network.config).keys()) {
    parameters.set(name, Float64Array.from(await network.readParameter(name)));
  }
  return new ReferenceModel(network.config, parameters).lossAndGradients(TOKENS, TARGETS);
}

function meanLoss(losses: Float32Array): number {
  return losses.reduce((sum, loss) => sum + loss, 0) /
    TARGETS.filter((target) => target >= 0).length;
}

for (const norm of [...NORMS, ...ROTATIONS]) {
  for (const headDim of "rope" in norm ? [16] : [10, 16]) {
    const { over, weightOffset, rope = {} } = norm;
    const name = `${over}, ${weightOffset} + weight, heads of ${headDim}, ${JSON.stringify(rope)}`;
    Deno.test(`full training of ${name}: loss and gradients are the oracle's, with checkpointing the same bits`, async () => {
      let before: Step | null = null;
      for (const checkpointing of [false, true]) {
        await withStep(norm, headDim, full(), async (step) => {
          const { network, losses, gradients } = step;
          if (before) {
            assertEquals([losses, gradients], [before.losses, before.gradients]);
            return;
          }
          before = step;
          const want = await reference(network);
          assert(Math.abs(meanLoss(losses) - want.loss) < 1e-6);
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

/** The A of a part of a layer, f64 [RANK, inFeatures]; null where the part has no adapter. */
async function readA(network: Network, index: number, part: number): Promise<Float64Array | null> {
  const linear = network.linears()[index];
  const { spec: { name, inFeatures, width }, rotation } = linear;
  const layout = (linear as FalqonLinear).layout ?? (linear as LoraLinear).adapter?.layout;
  const first = layout?.parts.find((adapted) => adapted.index === part)?.start;
  if (first === undefined) return null;
  const { list } = network.parameters;
  const trained = list.find((parameter) => parameter.name === `${name}.lora_A`);
  if (trained) {
    const values = await device.readMatrix(trained.value);
    return Float64Array.from(values.subarray(first * inFeatures, (first + RANK) * inFeatures));
  }
  const { weight, scales } = linear as FalqonLinear;
  const all = new Float32Array(await device.read(scales));
  const codes = await readCodes(weight);
  const values = new Float32Array(RANK * inFeatures);
  for (let i = 0; i < values.length; i++) {
    const row = width + first + Math.floor(i / inFeatures);
    values[i] = codes[row * weight.pitch + i % inFeatures] / all[row];
  }
  return Float64Array.from(rotation === 1 ? values : rotateValues(values, rotation));
}

/** What the codes of a matrix are worth before scaling, by rows. */
async function readCodes(weight: Matrix): Promise<Float32Array> {
  const bytes = new Uint8Array(await device.read(weight));
  const rows = layoutOf(weight.type) === "panels" ? fromPanels(bytes, weight) : bytes;
  return decodeCodes(formatOf(weight.type as "int8"), rows);
}

for (const [name, [method, f16, tolerance]] of Object.entries(ADAPTED)) {
  Deno.test(`${name}: gradients of adapters are the oracle's at the weights as they are rounded`, async () => {
    for (const norm of NORMS.slice(1)) {
      await withStep(norm, 16, method, async ({ network, losses, gradients }) => {
        assertEquals(activationTypes(network.blocks).rotated, f16 ? "f16" : "f32");
        const want = await reference(network);
        assert(Math.abs(meanLoss(losses) - want.loss) < tolerance);
        let checked = 0;
        for (const [index, { spec }] of network.linears().entries()) {
          for (const [i, { module, rows }] of spec.parts.entries()) {
            const A = await readA(network, index, i);
            if (!A) continue;
            const dW = want.gradients.get(`${module}.weight`)!;
            const got = gradients.get(`${module}.lora_B`) ?? gradients.get(`${module}.falqon_B`)!;
            const error = relativeError(got, matmulNT(dW, A, rows, RANK, spec.inFeatures));
            assert(error < tolerance, `${module} with ${norm.over}: error ${error}`);
            checked++;
          }
        }
        assertEquals(checked, f16 && name.startsWith("LoRA") ? 4 : 14);
      }, { f16 });
    }
  });
}
