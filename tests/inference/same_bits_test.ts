/**
 * Training, evaluation, `logits` and generation run one forward: where their kernels are the same,
 * their results are the same bits.
 *
 * On large GPUs kernels follow the number of rows. There, what may differ by rounding between a
 * token that follows a prompt and the same token in a sequence is attention on tensor cores and in
 * packed f16 (factors in f16; over the cache in f32), GEMMs of 64 rows and more in f16 or FP8 (packed f16 or
 * tensor cores; in f32 below that), and contractions of 1024 and more of few rows, which are split.
 * The CPU adapter of these tests has none of these. Sums of int8 are exact everywhere.
 */

import { assert, assertEquals } from "@std/assert";
import {
  falqon,
  frozen,
  frozenFp8,
  frozenInt8,
  full,
  lora,
  type Method,
  qlora,
} from "../../mod.ts";
import { requestDevice } from "../../src/gpu/device.ts";
import { Program } from "../../src/gpu/program.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { Model } from "../../src/inference/model.ts";
import { CachedText } from "../../src/model/cached_text.ts";
import type { Network } from "../../src/model/network.ts";
import { sequenceArrays, writeTokens } from "../../src/model/token_buffers.ts";
import { withFolder } from "../support/io.ts";
import { randomGenerator } from "../support/random.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const device = await requestDevice();
globalThis.addEventListener("unload", () => device.destroy());

const METHODS: Record<string, () => Method> = {
  "frozen f32": () => frozen(),
  "frozen f16": () => frozen("f16"),
  "frozen FP8": () => frozenFp8(),
  "frozen int8, not rotated": () => frozenInt8(false),
  "FALQON in int8": () => falqon({ rank: 4, format: "int8" }),
  "LoRA": () => lora({ rank: 4 }),
  "QLoRA": () => qlora({ rank: 4 }),
};

/** More than 64: from there on GEMMs have other tiles, which must add up alike. */
const IDS = Array.from({ length: 70 }, (_, i) => 3 + (i * 37) % 250);

/** Runs `use` on a tiny model under a method, with adapters that add something; `narrow`: with values in f16. */
function withNetwork(
  method: Method,
  use: (model: Model, network: Network) => Promise<void>,
  narrow = false,
  config: Record<string, unknown> = {},
): Promise<void> {
  const { tuning } = device;
  if (narrow) device.tuning = { ...tuning, f16Storage: { activations: true, gradients: true } };
  return withFolder(async (folder) => {
    // With heads of 16, q, k and v can be f16.
    const longer = { max_position_embeddings: 128, ...config };
    await writeTinyModel(folder, { config: narrow ? { head_dim: 16, ...longer } : longer });
    using model = await Model.load(folder, { device });
    const network = await model.adapt(method, { random: randomGenerator(1), gradients: true });
    if (method.name !== "falqon" && network.parameters.list.length > 0) { // its adapters are written into W
      const random = randomGenerator(2);
      const values = network.parameters.segments[0].values!;
      const noise = Float32Array.from({ length: values.length }, () => 0.2 * (random() - 0.5));
      device.write(values, noise);
      await network.layers.refresh?.();
    }
    await use(model, network);
  }).finally(() => device.tuning = tuning);
}

/** The row of logits behind token `t`. */
function rowOf(logits: Float32Array, t: number, { config }: Model): Float32Array {
  return logits.subarray(t * config.vocabSize, (t + 1) * config.vocabSize);
}

/** With values between kernels in f16. */
const NARROW = ["frozen FP8", "FALQON in int8"];

/** Windows shorter than the text in every second layer, caps of scores and logits, wide heads. */
const GEMMA = {
  model_type: "gemma2",
  sliding_window: 27,
  attn_logit_softcapping: 5,
  final_logit_softcapping: 3,
  query_pre_attn_scalar: 20,
};

const CASES: { name: string; method: () => Method; narrow?: boolean; config?: object }[] = [
  ...Object.entries(METHODS).map(([name, method]) => ({ name, method })),
  ...NARROW.map((name) => ({ name: `${name}, in f16`, method: METHODS[name], narrow: true })),
  { name: "Gemma 2", method: METHODS["frozen f32"], config: GEMMA },
  { name: "heads of 256", method: METHODS["frozen f16"], config: { ...GEMMA, head_dim: 256 } },
];

for (const { name, method, narrow, config } of CASES) {
  Deno.test(`${name}: the logits behind a prompt are those of logits(), bit for bit`, () =>
    withNetwork(
      method(),
      async (model, network) => {
        // So few rows of memory take the longer prompts in several groups.
        network.reserve({ tokens: 9, training: false, checkpointing: false });
        const grouped: [number, Float32Array][] = [];
        for (const length of [1, 2, 3, 4, 5, 8, 23]) {
          using text = new CachedText(network, length);
          await text.append(IDS.slice(0, length));
          grouped.push([length, await text.logits()]);
        }
        const all = await model.logits(IDS);
        for (const [length, got] of grouped) {
          const alone = await model.logits(IDS.slice(0, length));
          assertEquals(got, rowOf(alone, length - 1, model), `a prompt of ${length}`);
          assertEquals(got, rowOf(all, length - 1, model), `the first ${length} of all`);
        }
      },
      narrow,
      { ...config },
    ));

  Deno.test(`${name}: the logits of every token that follows are those of logits(), bit for bit`, () =>
    withNetwork(
      method(),
      async (model, network) => {
        const want = await model.logits(IDS);
        using text = new CachedText(network, IDS.length);
        await text.append(IDS.slice(0, 7));
        for (let t = 7; t < IDS.length; t++) {
          await text.append([IDS[t]]);
          assertEquals(await text.logits(), rowOf(want, t, model), `token ${t}`);
        }
      },
      narrow,
      { ...config },
    ));
}

const TRAINED: Record<string, () => Method> = {
  "FALQON": () => falqon({ rank: 4, init: "kaiming" }),
  "FALQON in int8": () => falqon({ rank: 4, init: "kaiming", format: "int8" }),
  "LoRA": () => lora({ rank: 4 }),
  "full": () => full(),
};

const TRAININGS = [
  ...Object.entries(TRAINED).map(([name, method]) => ({ name, method, config: {} })),
  { name: "LoRA of Gemma 2", method: TRAINED["LoRA"], config: GEMMA },
];

for (const { name, method, config } of TRAININGS) {
  Deno.test(`${name}: a training step computes the losses of evaluation, bit for bit`, () =>
    withNetwork(
      method(),
      async (model, network) => {
        const { vocabSize } = model.config;
        const arrays = sequenceArrays(IDS, IDS);
        const evaluated = await model.tokenLosses(arrays);
        const logits = await model.logits(IDS);
        for (const checkpointing of [false, true]) {
          network.reserve({ tokens: IDS.length, training: true, checkpointing });
          writeTokens(device, network.tokens, arrays);
          using state = new StepState(device, { beta1: 0, beta2: 0 });
          state.begin({ step: 1, learningRate: 0, targetCount: IDS.length - 1 });
          using program = new Program(device);
          network.recordTraining(program, IDS.length, state);
          await program.prepare();
          program.run();
          const trained = new Float32Array(await device.read(network.rowLoss));
          assertEquals(trained.slice(0, IDS.length), evaluated);
        }
        for (let t = 0; t + 1 < IDS.length; t++) {
          const row = logits.subarray(t * vocabSize, (t + 1) * vocabSize);
          const max = row.reduce((a, b) => Math.max(a, b));
          const sum = row.reduce((total, x) => total + Math.exp(x - max), 0);
          const loss = max + Math.log(sum) - row[IDS[t + 1]];
          assert(Math.abs(loss - evaluated[t]) < 1e-5 * Math.max(1, loss), `token ${t}`);
        }
      },
      false,
      config,
    ));
}
