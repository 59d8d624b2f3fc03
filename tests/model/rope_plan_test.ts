/** What a model does about rotation beyond the kernels: documents of two kinds, layers without, factors in the scores. */

import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { StepState } from "../../src/gpu/step_state.ts";
import { Model } from "../../src/inference/model.ts";
import { attentionOf } from "../../src/model/plan.ts";
import { full } from "../../src/methods/full.ts";
import { CachedText } from "../../src/model/cached_text.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { Network } from "../../src/model/network.ts";
import { RopeBuffers, scoreScale } from "../../src/model/rope_buffers.ts";
import { sequenceArrays, type TokenArrays, writeTokens } from "../../src/model/token_buffers.ts";
import { Program } from "../../src/gpu/program.ts";
import { relativeError } from "../oracle/compare.ts";
import { documentBounds, packDocuments } from "../oracle/token_stream.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { kernelsOf, openDryGpu } from "../support/dry_gpus.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** Documents of more tokens are long. */
const ORIGINAL = 16;

const factors = (planes: number) => ({
  short_factor: Array.from({ length: planes }, (_, i) => 1 + i / 4),
  long_factor: Array.from({ length: planes }, (_, i) => 3 + 2 * i),
});

/** Heads of 10: all five planes turn, or three of them, in a model with fused layers. */
const LONGROPE: Record<string, Record<string, unknown>> = {
  "whole heads": {
    rope_scaling: {
      type: "longrope",
      ...factors(5),
      factor: 4,
      original_max_position_embeddings: ORIGINAL,
    },
  },
  "parts of heads": {
    model_type: "phi3",
    pad_token_id: null,
    partial_rotary_factor: 0.6,
    original_max_position_embeddings: ORIGINAL,
    rope_scaling: { type: "longrope", ...factors(3) },
  },
};

const IDS = Array.from({ length: 40 }, (_, i) => 3 + (i * 37 + i * i) % 250);

function withModel(
  config: Record<string, unknown>,
  test: (model: Model) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    await writeTinyModel(folder, { config });
    await using _ = expectAllFreed();
    using model = await Model.load(folder, { device });
    await test(model);
  });
}

/** The last row of the logits of a text. */
async function lastLogits(model: Model, ids: number[]): Promise<Float32Array> {
  return (await model.logits(ids)).slice(-model.config.vocabSize);
}

for (const [name, config] of Object.entries(LONGROPE)) {
  Deno.test(`longrope, ${name}: a text that becomes long is turned anew, however it grows`, () =>
    withModel(config, async (model) => {
      const network = await model.network();
      // One by one from within and at the bound; a piece across it; a prompt that is long at once.
      const growths = [
        [14, ...new Array(8).fill(1)],
        [16, 1, 1, 1],
        [1, ...new Array(18).fill(1)],
        [5, 4, 12, 1, 3],
        [17, 1, 2],
      ];
      for (const pieces of growths) {
        using text = new CachedText(network, IDS.length);
        for (const count of pieces) {
          await text.append(IDS.slice(text.length, text.length + count));
          const got = await text.logits();
          const want = await lastLogits(model, IDS.slice(0, text.length));
          const error = relativeError(got, want);
          assert(error < 1e-6, `${text.length} tokens of ${pieces}: error ${error}`);
        }
      }
    }));

  Deno.test(`longrope, ${name}: generating says what recomputing says`, () =>
    withModel(config, async (model) => {
      const options = { temperature: 0, maxNewTokens: 12 };
      const prompt = IDS.slice(0, 10);
      const got = await Array.fromAsync(model.generateIds(prompt, options));
      const ids = [...prompt];
      for (let i = 0; i < got.length; i++) {
        const logits = await lastLogits(model, ids);
        ids.push(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
      }
      assertEquals(got, ids.slice(prompt.length));
    }));

  Deno.test(`longrope, ${name}: packed documents learn what each learns alone`, () =>
    withModel(config, async (model) => {
      const options = { random: () => 0.5, gradients: true };
      const network = await model.adapt(full(), options);
      const lengths = [ORIGINAL, ORIGINAL + 1, 1, 30, 5];
      const documents = lengths.map((length, i) => IDS.slice(i, i + length));
      const packed = await learn(network, pack(documents));
      const alone = [];
      for (const document of documents) alone.push(await learn(network, pack([document])));
      assertEquals(packed.losses.length, alone.flatMap(({ losses }) => losses).length);
      const losses = alone.flatMap(({ losses }) => losses);
      assert(relativeError(Float32Array.from(packed.losses), Float32Array.from(losses)) < 1e-6);
      const sum = alone.map(({ gradients }) => gradients).reduce((a, b) =>
        a.map((x, i) => x + b[i])
      );
      const error = relativeError(packed.gradients, sum);
      assert(error < 3e-6, `error of the gradients ${error}`);
    }));
}

Deno.test("longrope: a document beyond the original length is turned by the long factors alone", async () => {
  const config = LONGROPE["whole heads"];
  const scaling = config.rope_scaling as Record<string, unknown>;
  const { long_factor, short_factor } = scaling;
  const logits = async (more: Record<string, unknown>, count: number) => {
    let values = new Float32Array();
    await withModel({ rope_scaling: { ...scaling, ...more } }, async (model) => {
      values = Float32Array.from(await model.logits(IDS.slice(0, count)));
    });
    return values;
  };
  const [short, long] = [{ long_factor: short_factor }, { short_factor: long_factor }];
  assertEquals(await logits({}, ORIGINAL), await logits(short, ORIGINAL));
  assertEquals(await logits({}, ORIGINAL + 1), await logits(long, ORIGINAL + 1));
  assertNotEquals(await logits(short, ORIGINAL + 1), await logits(long, ORIGINAL + 1));
});

/** Documents in one stream, each token to learn the next. */
function pack(documents: number[][]): TokenArrays {
  const { inputIds, positions, documentStart } = packDocuments(documents);
  const bounds = documentBounds(documents.map(({ length }) => length));
  return {
    ...sequenceArrays(inputIds),
    targets: Int32Array.from(documents.flatMap((ids) => [...ids.slice(1), -100])),
    positions: Uint32Array.from(positions),
    documentStart: Uint32Array.from(documentStart),
    documentEnd: bounds.filter((_, i) => i % 2 === 1),
  };
}

/** The losses of all tokens, and the gradients of their sum. */
async function learn(network: Network, arrays: TokenArrays) {
  const rows = arrays.inputIds.length;
  network.reserve({ tokens: rows, training: true, checkpointing: rows % 2 === 0 });
  writeTokens(device, network.tokens, arrays);
  const [gradients] = network.parameters.gradients;
  device.write(gradients, new Float32Array(gradients.length));
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  state.begin({ step: 1, learningRate: 0, targetCount: 1 });
  using program = new Program(device);
  network.recordTraining(program, rows, state);
  (await program.prepare()).run();
  const [losses, all] = await device.readAll([network.rowLoss, gradients]);
  return {
    losses: [...new Float32Array(losses).subarray(0, rows)],
    gradients: new Float32Array(all),
  };
}

Deno.test("layers without rotation record none, forward or backward", async () => {
  const config = parseModelConfig({
    model_type: "smollm3",
    vocab_size: 300,
    hidden_size: 64,
    intermediate_size: 44,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    no_rope_layers: [0, 0],
    pad_token_id: null,
    bos_token_id: null,
    eos_token_id: null,
  }, "this test");
  const source = {
    rows: () => Promise.reject(new TypeError("There are no weights to read")),
    codes: () => Promise.resolve(null),
    fill: () => {},
  };
  const kernels = await kernelsOf(async () => {
    const device = openDryGpu();
    const options = { random: () => 0, gradients: true, moments: true, restoring: true };
    using network = await Network.create({ device, config, method: full(), source, ...options });
    network.reserve({ tokens: 9, training: true, checkpointing: false });
    using state = new StepState(device, { beta1: 0, beta2: 0 });
    network.recordTraining(new Program(device), 9, state);
  });
  assertEquals(kernels.has("rope"), false);
  for (const name of ["attention_backward_queries", "attention_backward_keys_values"]) {
    const [{ code }] = kernels.get(name)!;
    assert(!code.includes("fn rotation("), name);
  }
});

Deno.test("a factor of whole heads is one of scores; one of parts is of their planes", () => {
  const { plan } = parseModelConfig({
    model_type: "llama",
    vocab_size: 300,
    hidden_size: 64,
    intermediate_size: 44,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 },
  }, "this test");
  const attention = attentionOf(plan)!;
  const buffers = new RopeBuffers(openDryGpu());
  const usual = 0.1 * Math.log(4) + 1;
  assertAlmostEquals(scoreScale(attention), 0.25 * usual ** 2, 1e-15);
  assertEquals(buffers.of(attention)!.factor, undefined);
  const partial = { ...attention, rope: { ...attention.rope!, rotatedDims: 12 } };
  assertEquals(scoreScale(partial), 0.25);
  assertEquals(buffers.of(partial)!.factor, { value: usual, planes: 6 });
  assertEquals(buffers.of({ ...attention, rope: null }), null);
  // Layers that turn alike share frequencies; a factor is no part of them.
  const again = { ...attention, rope: { ...attention.rope!, factor: 2 } };
  assertEquals(buffers.of(again)!.frequencies, buffers.of(attention)!.frequencies);
  assertNotEquals(buffers.of(partial)!.frequencies, buffers.of(attention)!.frequencies);
});
