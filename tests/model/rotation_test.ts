import { assert, assertEquals } from "@std/assert";
import { Model } from "../../mod.ts";
import { rotate } from "../../src/kernels/rows/rotation.ts";
import type { AdaptedLayers, Linear, Method } from "../../src/layers/method.ts";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import { full } from "../../src/methods/full.ts";
import { CROSS_ENTROPY } from "../../src/model/loss.ts";
import { sequenceArrays } from "../../src/model/token_buffers.ts";
import { TrainingStep } from "../../src/model/training_step.ts";
import { rotationBlock } from "../../src/numerics/hadamard.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { randomGenerator } from "../support/random.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const ROWS = 13;

/** A layer whose gradient comes out rotated. It rounds nothing, so its output is that of the plain one. */
function rotatedLinear(linear: Linear): Linear {
  const { spec, backwardReadsInput, forwardReadsF32 } = linear;
  const { preferredOutputType, preferredGradientType } = linear;
  const rotation = rotationBlock(spec.inFeatures);
  return {
    ...{
      spec,
      bias: linear.bias,
      backwardReadsInput,
      forwardReadsF32,
      preferredOutputType,
      preferredGradientType,
    },
    rotation,
    reserve: (tokens) => linear.reserve(tokens),
    load: (source) => linear.load(source),
    inputCodes: (rows) => linear.inputCodes(rows),
    gradientCodes: (rows) => linear.gradientCodes(rows),
    forward: (program, io) => linear.forward(program, io),
    backward: (program, io) => {
      linear.backward(program, io);
      if (io.dInput) rotate(program, { input: io.dInput, block: rotation });
    },
    readWeight: (index) => linear.readWeight(index),
    free: () => linear.free(),
  };
}

/** Full training with such layers, of which each block is noted in `blocks`. */
function rotatedFull(blocks: Set<number>): Method {
  const plain = full();
  return {
    ...plain,
    build: (context) => {
      const layers = plain.build(context);
      const linear: AdaptedLayers["linear"] = (spec) => {
        const rotated = rotatedLinear(layers.linear(spec));
        blocks.add(rotated.rotation);
        return rotated;
      };
      const dense = layers.dense.bind(layers);
      const table = layers.table.bind(layers);
      return Object.assign(Object.create(layers) as AdaptedLayers, { linear, dense, table });
    },
  };
}

/** The gradients of all parameters of a model after a micro-step. */
async function gradientsOf(
  model: Model,
  method: Method,
  checkpointing: boolean,
): Promise<Float32Array> {
  const options = { random: randomGenerator(1), gradients: true, moments: false };
  const network = await model.adapt(method, options);
  using step = await TrainingStep.create(network, ROWS, {
    loss: CROSS_ENTROPY,
    optimizer: null,
    checkpointing,
  });
  const ids = Array.from({ length: ROWS }, (_, t) => 3 + t * 17 % 250);
  await step.begin({ step: 1, learningRate: 0, targetCount: ROWS - 1 });
  step.accumulate(sequenceArrays(ids, ids));
  return new Float32Array(await device.read(network.parameters.gradients[0]));
}

/** Runs a test with a model whose layers have blocks of several sizes. */
function withModel(test: (model: Model) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await writeTinyModel(folder, { config: { hidden_size: 64, intermediate_size: 96 } });
    using model = await Model.load(folder, { device });
    await test(model);
  });
}

Deno.test("a model whose layers give rotated gradients of their inputs has the gradients of one whose layers do not", () =>
  withModel(async (model) => {
    const want = await gradientsOf(model, full(), false);
    assert(want.some((value) => value !== 0));
    for (const checkpointing of [false, true]) {
      const blocks = new Set<number>();
      const got = await gradientsOf(model, rotatedFull(blocks), checkpointing);
      assertEquals(blocks, new Set([64, 4, 32]));
      const error = relativeError(got, want);
      assert(error < 1e-6, `checkpointing ${checkpointing}: error ${error}`);
    }
  }));

Deno.test("int8 that is rotated has the gradients of int8 that is not, but for rounding", () =>
  withModel(async (model) => {
    const ofInt8 = (rotation: boolean) =>
      gradientsOf(model, falqon({ rank: 5, format: "int8", init: "kaiming", rotation }), rotation);
    const want = await ofInt8(false);
    const error = relativeError(await ofInt8(true), want);
    assert(error > 0 && error < 0.15, `error ${error}`); // of FP8 it is 0.4
  }));
