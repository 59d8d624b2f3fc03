/**
 * Models on a GPU that binds so little that embedding, head and trained parameters are in several buffers, against the
 * same on one that holds each in one.
 */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { Dataset, frozen, full, lora, type Method, Model, Trainer } from "../../mod.ts";
import { requestDevice } from "../../src/gpu/device.ts";
import { Program } from "../../src/gpu/program.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { sequenceArrays, writeTokens } from "../../src/model/token_buffers.ts";
import type { TrainingMetrics } from "../../src/train/metrics.ts";
import { relativeError } from "../oracle/compare.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** Bytes of 128 rows of the tiny model in f32. */
const LIMIT = 128 * 64 * 4;
/** Four slabs, the last of one row; also in f16, whose products pack rows of 128. */
const VOCAB = 385;
const SLABS = [128, 128, 128, 1];

/** Ids of every slab, both ends of each included, for more than one chunk of logits. */
const IDS = [
  0,
  127,
  128,
  255,
  256,
  383,
  384,
  3,
  200,
  127,
  0,
  129,
  255,
  17,
  128,
  5,
  91,
  180,
  384,
  2,
];
const LABELS = IDS.map((id, t) => t % 7 === 2 ? -100 : id);
const SEQUENCE = { inputIds: IDS, labels: LABELS };

const MODELS: Record<string, Record<string, unknown>> = {
  "a head of its own": {},
  "a tied head": { tie_word_embeddings: true },
};

/** Runs a test with a tiny model in a folder. */
function withModel(
  config: Record<string, unknown>,
  test: (folder: string) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    const path = join(folder, "model");
    await Deno.mkdir(path);
    await writeTinyModel(path, { config: { ...config, vocab_size: VOCAB } });
    await using _ = expectAllFreed();
    await test(folder);
  });
}

/** Runs `use` on a GPU that binds as much as the tests' does, and on one that binds little. */
async function onBoth<T>(use: (limit: number) => Promise<T>): Promise<[whole: T, split: T]> {
  const results: T[] = [];
  for (const limit of [Infinity, LIMIT]) {
    device.bindingLimit = limit;
    results.push(await use(limit));
  }
  device.bindingLimit = Infinity;
  return [results[0], results[1]];
}

async function slabsOf(model: Model): Promise<number[]> {
  return (await model.network()).embedding.slabs.map(({ rows }) => rows);
}

for (const [name, config] of Object.entries(MODELS)) {
  Deno.test(`slabs: logits, losses and greedy tokens are those of one buffer, with ${name}`, () =>
    withModel(config, async (folder) => {
      for (const base of ["f32", "f16"] as const) {
        const [whole, split] = await onBoth(async () => {
          using model = await Model.load(join(folder, "model"), { device });
          await model.use(frozen(base));
          const slabs = await slabsOf(model);
          const logits = await model.logits(IDS);
          const loss = await model.loss(SEQUENCE);
          const tokens: number[] = [];
          const options = { temperature: 0, maxNewTokens: 12 };
          for await (const id of model.generateIds(IDS.slice(0, 9), options)) tokens.push(id);
          const { chunkRows } = (await model.network()).head;
          return { slabs, logits, loss, tokens, chunkRows };
        });
        assertEquals(whole.slabs, [VOCAB]);
        assertEquals(split.slabs, SLABS);
        assertEquals([whole.chunkRows > 1000, split.chunkRows], [true, 16]);
        assert(split.logits.every(Number.isFinite) && split.tokens.length === 12);
        assertEquals(split.logits, whole.logits);
        assertEquals([split.loss, split.tokens], [whole.loss, whole.tokens]);
      }
    }));

  Deno.test(`slabs: gradients of all weights are those of one buffer, with ${name}`, () =>
    withModel(config, async (folder) => {
      const [whole, split] = await onBoth(async () => {
        using model = await Model.load(join(folder, "model"), { device });
        return await model.lossAndGradients(SEQUENCE);
      });
      assertEquals(split.loss, whole.loss);
      assertEquals([...split.gradients.keys()], [...whole.gradients.keys()]);
      for (const [tensor, want] of whole.gradients) {
        const got = split.gradients.get(tensor)!;
        assertEquals(got.length, want.length, tensor);
        // What the head's rows receive is summed slab by slab.
        const error = relativeError(got, want);
        assert(error < 2e-6, `${tensor}: error ${error}`);
      }
      const head = config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
      const rows = split.gradients.get(head)!;
      for (const row of [0, 127, 128, 255, 256, 383, 384]) {
        const values = rows.subarray(row * 52, (row + 1) * 52);
        assert(values.some((value) => value !== 0), `row ${row}`);
      }
    }));
}

Deno.test("slabs: a model is read and written slab by slab, bit for bit", () =>
  withModel({}, async (folder) => {
    const files = await onBoth(async (limit) => {
      using model = await Model.load(join(folder, "model"), { device });
      const output = join(folder, `saved ${limit}`);
      await model.save(output);
      return await Deno.readFile(join(output, "model.safetensors"));
    });
    const [whole, split] = files.map((bytes) => [...bytes]);
    assert(
      whole.length === split.length && whole.every((byte, i) => byte === split[i]),
      "the same file",
    );
    using saved = await Model.load(join(folder, `saved ${LIMIT}`), { device });
    using model = await Model.load(join(folder, "model"), { device });
    assertEquals(await saved.logits(IDS), await model.logits(IDS));
  }));

const METHODS: Record<string, () => Method> = { "full": full, "lora": () => lora({ rank: 4 }) };

Deno.test("slabs: training learns as with one buffer, and goes on from its checkpoints", () =>
  withModel({}, async (folder) => {
    const rows = Array.from(
      { length: 24 },
      (_, i) => ({ text: `abcdefgh number ${i} of a list of lines` }),
    );
    for (const [name, method] of Object.entries(METHODS)) {
      const run = async (
        output: string,
        steps: number,
        resumeFrom?: string,
      ): Promise<TrainingMetrics[]> => {
        using model = await Model.load(join(folder, "model"), { device });
        using trainer = await Trainer.create({
          model,
          method: method(),
          data: Dataset.from(rows),
          batchSize: 1,
          sequenceLength: 24,
          steps,
          learningRate: 3e-3,
          schedule: "constant",
          logEvery: 1,
          seed: 3,
          outputDir: output,
          ...(resumeFrom === undefined ? { saveEvery: 3 } : { resumeFrom }),
        });
        const metrics: TrainingMetrics[] = [];
        for await (const entry of trainer.run()) metrics.push(entry);
        const { segments } = (await model.network()).parameters;
        assertEquals(segments.length > 1, device.bindingLimit === LIMIT);
        return metrics;
      };
      const pick = (metrics: TrainingMetrics[]) =>
        metrics.map(({ loss, gradNorm }) => [loss, gradNorm]);
      const [whole, split] = await onBoth((limit) => run(join(folder, `${name} ${limit}`), 6));
      assert(whole.length === 6 && whole[5].loss < whole[0].loss);
      const error = relativeError(pick(split).flat(), Float64Array.from(pick(whole).flat()));
      assert(error < 1e-4, `${name}: error ${error}`);

      // From the checkpoint of either GPU on the other.
      const [onWhole, onSplit] = await onBoth((limit) =>
        run(
          join(folder, `${name} resumed ${limit}`),
          6,
          join(folder, `${name} ${limit === LIMIT ? Infinity : LIMIT}`, "checkpoint-3"),
        )
      );
      for (const resumed of [onWhole, onSplit]) {
        assertEquals(resumed.length, 3);
        const error = relativeError(
          pick(resumed).flat(),
          Float64Array.from(pick(whole.slice(3)).flat()),
        );
        assert(error < 1e-4, `${name} resumed: error ${error}`);
      }
    }
  }));

Deno.test("slabs: packed for half precision they make their columns as one buffer does", async () => {
  using gpu = await requestDevice();
  // The kernels of a GPU, which packs operands of 64 rows or more.
  Object.defineProperty(gpu, "isFallback", { value: false });
  if (!gpu.hasF16) return;
  const config = { hidden_size: 136 };
  await withModel(config, async (folder) => {
    const ids = Array.from({ length: 64 }, (_, i) => (i * i * 7 + 11 * i + 384) % VOCAB);
    const arrays = sequenceArrays(Uint32Array.from(ids), ids);
    const results = [];
    for (const limit of [Infinity, 128 * 1024]) {
      gpu.bindingLimit = limit;
      using model = await Model.load(join(folder, "model"), { device: gpu });
      const method = lora({ rank: 4, base: "f16" });
      const network = await model.adapt(method, { random: () => 0.5, gradients: true });
      const slabs = network.embedding.slabs.map(({ rows }) => rows);
      assertEquals(slabs, limit === Infinity ? [VOCAB] : [256, 129]);
      network.reserve({ tokens: ids.length, training: true, checkpointing: false });
      using state = new StepState(gpu, { beta1: 0, beta2: 0 });
      using program = new Program(gpu);
      network.recordTraining(program, ids.length, state);
      await program.prepare();
      writeTokens(gpu, network.tokens, arrays);
      state.begin({ step: 1, learningRate: 0, targetCount: ids.length - 1 });
      program.run();
      const losses = await gpu.read(network.rowLoss);
      const gradients = await gpu.readAll(network.parameters.gradients);
      results.push({
        logits: await model.logits(ids),
        losses: new Float32Array(losses),
        gradients: gradients.flatMap((buffer) => [...new Float32Array(buffer)]),
      });
    }
    const [whole, split] = results;
    assert(gpu.kernels().some(({ name }) => name === "gemm_f16"));
    assertEquals(split.logits, whole.logits);
    assertEquals(split.losses, whole.losses);
    assert(whole.gradients.some((value) => value !== 0));
    const error = relativeError(split.gradients, Float64Array.from(whole.gradients));
    assert(error < 1e-3, `gradients of adapters: error ${error}`);
  });
});
