/**
 * A step of a network on two packed documents, to be held against the oracle at the weights as the network
 * has them.
 *
 * @module
 */

import { layoutOf, type Matrix, pitched } from "../../src/gpu/buffers.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import type { Linear, Method } from "../../src/layers/method.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import type { FalqonLinear } from "../../src/methods/falqon/linear.ts";
import type { LoraLinear } from "../../src/methods/lora/linear.ts";
import { type ModelConfig, modelTensorShapes } from "../../src/model/config.ts";
import { Network } from "../../src/model/network.ts";
import { type TokenArrays, writeTokens } from "../../src/model/token_buffers.ts";
import { formatOf } from "../../src/numerics/formats.ts";
import { rotateValues } from "../../src/numerics/hadamard.ts";
import { decodeCodes } from "../oracle/codes.ts";
import { relativeError } from "../oracle/compare.ts";
import { shiftLabels } from "../oracle/loss.ts";
import { matmulNT } from "../oracle/matmul.ts";
import { type LossAndGradients, ReferenceModel } from "../oracle/model.ts";
import { documentBounds, packDocuments } from "../oracle/token_stream.ts";
import { device, expectAllFreed } from "./device.ts";
import { fromPanels } from "./panels.ts";
import { randomGenerator, randomValues } from "./random.ts";

/** Two documents, the shorter first. */
const LENGTHS = [9, 28];
const IDS = LENGTHS.map((length, d) =>
  Array.from({ length }, (_, i) => 3 + (i * i * 37 + 11 * d) % 250)
);
const TOKENS = packDocuments(IDS);
const TARGETS = shiftLabels(TOKENS.inputIds, TOKENS.documentStart);

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

/** What a step gave. */
export interface Step {
  network: Network;
  /** Mean over the targets. */
  loss: number;
  losses: Float32Array;
  gradients: Map<string, Float32Array>;
}

/** Builds a network, whose adapters add something, and runs a step. */
export async function withStep(
  config: ModelConfig,
  parameters: Map<string, Float32Array>,
  method: Method,
  use: (step: Step) => Promise<void>,
  { checkpointing = false, f16 = false } = {},
): Promise<void> {
  device.tuning = { ...device.tuning, f16Storage: { activations: f16, gradients: f16 } };
  await using _ = expectAllFreed();
  using network = await Network.create({
    device,
    config,
    method,
    source: sourceOf(parameters),
    random: randomGenerator(1),
    gradients: true,
    moments: false,
  });
  const { list } = network.parameters;
  for (const { rows, cols, value } of list.filter(({ name }) => name.endsWith("lora_B"))) {
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
  for (const { name, gradient } of list) gradients.set(name, await device.readMatrix(gradient));
  const loss = losses.reduce((sum, loss) => sum + loss, 0) / targetCount;
  await use({ network, loss, losses, gradients });
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
export async function reference(network: Network): Promise<LossAndGradients> {
  const parameters = new Map<string, Float64Array>();
  for (const name of modelTensorShapes(network.config).keys()) {
    parameters.set(name, Float64Array.from(await network.readParameter(name)));
  }
  return new ReferenceModel(network.config, parameters).lossAndGradients(TOKENS, TARGETS);
}

/** The errors of the gradients of adapters' B, by module, with what the oracle says of the weights. */
export async function adapterErrors(
  { network, gradients }: Step,
  want: LossAndGradients,
  rank: number,
): Promise<Map<string, number>> {
  const errors = new Map<string, number>();
  for (const linear of network.linears()) {
    const { inFeatures, parts } = linear.spec;
    for (const [i, { module, rows, order }] of parts.entries()) {
      const A = await readA(network, linear, i, rank);
      if (!A) continue;
      const dW = want.gradients.get(`${module}.weight`)!;
      const got = gradients.get(`${module}.lora_B`) ?? gradients.get(`${module}.falqon_B`)!;
      const outFeatures = order?.length ?? rows;
      const stored = matmulNT(dW, A, outFeatures, rank, inFeatures);
      const wanted = new Float64Array(rows * rank);
      for (let row = 0; row < outFeatures; row++) {
        wanted.set(stored.subarray(row * rank, (row + 1) * rank), (order?.[row] ?? row) * rank);
      }
      errors.set(module, relativeError(got, wanted));
    }
  }
  return errors;
}

/** The A of a part of a layer, f64 [rank, inFeatures]; null where the part has no adapter. */
async function readA(
  network: Network,
  linear: Linear,
  part: number,
  rank: number,
): Promise<Float64Array | null> {
  const { spec: { name, inFeatures, width }, rotation } = linear;
  const layout = (linear as FalqonLinear).layout ?? (linear as LoraLinear).adapter?.layout;
  const first = layout?.parts.find((adapted) => adapted.index === part)?.start;
  if (first === undefined) return null;
  const { list } = network.parameters;
  const trained = list.find((parameter) => parameter.name === `${name}.lora_A`);
  if (trained) {
    const values = await device.readMatrix(trained.value);
    return Float64Array.from(values.subarray(first * inFeatures, (first + rank) * inFeatures));
  }
  const { weight, scales } = linear as FalqonLinear;
  const all = new Float32Array(await device.read(scales));
  const codes = await readCodes(weight);
  const values = new Float32Array(rank * inFeatures);
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
