import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { Model } from "../../mod.ts";
import { full } from "../../src/methods/full.ts";
import { CROSS_ENTROPY, type Loss } from "../../src/model/loss.ts";
import type { Network } from "../../src/model/network.ts";
import { sequenceArrays, type TokenArrays } from "../../src/model/token_buffers.ts";
import { TrainingStep, type TrainingStepOptions } from "../../src/model/training_step.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const ROWS = 13;
const OPTIONS: TrainingStepOptions = {
  loss: CROSS_ENTROPY,
  optimizer: { maxGradNorm: 1, weightDecay: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8 },
  checkpointing: false,
};

/** A micro-batch: every token but the first is a target. */
function batch(seed: number): TokenArrays & { targetCount: number } {
  const ids = Array.from({ length: ROWS }, (_, t) => 3 + (seed * 31 + t * 17) % 250);
  return { ...sequenceArrays(ids, ids), targetCount: ROWS - 1 };
}

/** Runs a test with the network of a tiny model, to be trained in full, anew for each call of `open`. */
function withNetwork(
  test: (open: () => Promise<Network>, model: Model) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    await writeTinyModel(folder);
    using model = await Model.load(folder, { device });
    const options = { random: () => 0.5, gradients: true, moments: true };
    await test(() => model.adapt(full(), options), model);
  });
}

async function readF32(network: Network, name: "values" | "gradients") {
  return new Float32Array(await network.device.read(network.parameters.segments[0][name]!));
}

/** Runs steps on the batches of `groups`; the metrics and the parameters after them. */
async function train(step: TrainingStep, groups: (TokenArrays & { targetCount: number })[][]) {
  for (const [i, group] of groups.entries()) {
    const targetCount = group.reduce((sum, { targetCount }) => sum + targetCount, 0);
    await step.begin({ step: i + 1, learningRate: 1e-2, targetCount });
    for (const each of group) step.accumulate(each);
    await step.apply();
  }
  return { metrics: await step.takeMetrics(), values: await readF32(step.network, "values") };
}

Deno.test("TrainingStep: the same micro-batches give the same steps, also when memory moves between", () =>
  withNetwork(async (open, model) => {
    const groups = [[batch(1), batch(2)], [batch(3), batch(4)], [batch(5), batch(6)]];
    using first = await TrainingStep.create(await open(), ROWS, OPTIONS);
    const plain = await train(first, groups);
    assertEquals(plain.metrics.map(({ step, targetCount }) => [step, targetCount]), [
      [1, 24],
      [2, 24],
      [3, 24],
    ]);
    assert(plain.metrics.every(({ finite, lossSum }) => finite && lossSum > 0));

    using second = await TrainingStep.create(await open(), ROWS, OPTIONS);
    const { network } = second;
    const generation = network.generation;
    await model.logits(new Uint8Array(40).fill(5)); // longer than what the step was recorded for
    assertNotEquals(network.generation, generation);
    const moved = await train(second, groups);
    assertEquals(moved, plain);
  }));

Deno.test("TrainingStep: the hook sees all gradients of the step, and what it makes of them is applied", () =>
  withNetwork(async (open) => {
    const seen: number[] = [];
    let network = await open();
    const onGradients = async () => {
      const gradients = await readF32(network, "gradients");
      seen.push(Math.hypot(...gradients));
      network.device.write(network.parameters.gradients[0], gradients.fill(0));
    };
    using step = await TrainingStep.create(network, ROWS, {
      ...OPTIONS,
      optimizer: { ...OPTIONS.optimizer!, weightDecay: 0 },
      onGradients,
    });
    const before = await readF32(network, "values");
    const { metrics: [{ gradNorm, lossSum }], values } = await train(step, [[batch(1), batch(2)]]);
    assertEquals([gradNorm, values], [0, before], "no gradient, no change");
    assert(seen[0] > 0 && lossSum > 0);

    network = await open();
    using plain = await TrainingStep.create(network, ROWS, OPTIONS);
    const [{ gradNorm: norm }] = (await train(plain, [[batch(1), batch(2)]])).metrics;
    assert(Math.abs(norm / seen[0] - 1) < 1e-5, `${norm} and ${seen[0]}`);
  }));

Deno.test("TrainingStep: the loss is what it is given, and uploads what it needs of each batch", () =>
  withNetwork(async (open) => {
    const written: TokenArrays[] = [];
    /** Learns nothing from the second half of the rows. */
    const firstHalf: Loss = {
      record(program, pass) {
        CROSS_ENTROPY.record(program, pass);
        const { dFinal, rowLoss } = pass;
        const half = Math.ceil(dFinal.rows / 2);
        const from = half * dFinal.pitch * 4;
        program.clear({ ...dFinal, offset: dFinal.offset + from, size: dFinal.size - from });
        const tail = rowLoss.offset + half * 4;
        program.clear({ ...rowLoss, offset: tail, size: (rowLoss.length - half) * 4 });
      },
      write: (batch) => written.push(batch),
    };
    const half = batch(1);
    half.targets.fill(-100, Math.ceil(ROWS / 2));
    // The same number of targets, so that the gradients have the same factor.
    const groupOf = (each: TokenArrays) => [[{ ...each, targetCount: 7 }]];
    const dense = { ...OPTIONS, optimizer: { ...OPTIONS.optimizer!, maxGradNorm: 0 } };
    using own = await TrainingStep.create(await open(), ROWS, { ...dense, loss: firstHalf });
    const got = await train(own, groupOf(batch(1)));
    assertEquals(written.length, 1);
    using want = await TrainingStep.create(await open(), ROWS, dense);
    const masked = await train(want, groupOf(half));
    assertEquals(got.metrics[0].lossSum, masked.metrics[0].lossSum);
    // The head's weight learns from all rows, as its gradient follows from the logits; the blocks do not.
    const { parameters } = want.network;
    const head = parameters.list.find(({ name }) => name === "lm_head.weight")!;
    const values = (all: Float32Array) => {
      const at = (head.value.offset - parameters.segments[0].values!.offset) / 4;
      return [all.slice(0, at), all.slice(at + head.value.size / 4)];
    };
    assertEquals(values(got.values), values(masked.values));
  }));

Deno.test("TrainingStep: without an optimizer gradients add up and nothing can be applied", () =>
  withNetwork(async (open) => {
    const network = await open();
    using step = await TrainingStep.create(network, ROWS, { ...OPTIONS, optimizer: null });
    await step.begin({ step: 1, learningRate: 0, targetCount: ROWS - 1 });
    step.accumulate(batch(1));
    const once = await readF32(network, "gradients");
    step.accumulate(batch(1));
    const twice = await readF32(network, "gradients");
    assert(once.some((value) => value !== 0));
    assertEquals(twice, once.map((value) => 2 * value));
    await assertRejects(() => step.apply(), TypeError, "only adds up gradients");
  }));

Deno.test("TrainingStep: nothing is left of a step that could not be recorded", () =>
  withNetwork(async (open) => {
    const network = await open();
    network.reserve({ tokens: ROWS, training: true, checkpointing: false });
    const before = network.device.allocatedBytes;
    const failing: Loss = {
      record(program, pass) {
        CROSS_ENTROPY.record(program, pass);
        throw new RangeError("no such loss");
      },
    };
    const create = () => TrainingStep.create(network, ROWS, { ...OPTIONS, loss: failing });
    await assertRejects(create, RangeError, "no such loss");
    assertEquals(network.device.allocatedBytes, before);
  }));
