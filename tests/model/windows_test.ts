import { assert, assertEquals } from "@std/assert";
import { full, Model } from "../../mod.ts";
import { Program } from "../../src/gpu/program.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import type { Network } from "../../src/model/network.ts";
import type { LayerPlan } from "../../src/model/plan.ts";
import {
  allocateTokens,
  documentsIn,
  firstTokens,
  freeTokens,
  type TokenArrays,
  writeTokens,
} from "../../src/model/token_buffers.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { packTokens } from "../support/packed.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** Families whose layers have different windows, or all the same. */
const FAMILIES: Record<string, Record<string, unknown>> = {
  "a window in every layer": { model_type: "mistral", sliding_window: 7 },
  "a window in one of two layers, caps": {
    model_type: "gemma2",
    sliding_window: 9,
    query_pre_attn_scalar: 7,
    attn_logit_softcapping: 2,
    final_logit_softcapping: 3,
  },
};

/** Shorter and longer than the windows, and one token. */
const LENGTHS = [5, 1, 40, 9, 23];

const documents = LENGTHS.map((length, n) =>
  Array.from({ length }, (_, t) => 3 + (n * 59 + t * 37) % 250)
);
const COUNT = LENGTHS.reduce((sum, length) => sum + length - 1, 0);

/** The losses of all tokens, and the gradients that steps add up to. */
async function train(network: Network, steps: TokenArrays[]) {
  const losses: number[] = [];
  for (const arrays of steps) {
    const rows = arrays.inputIds.length;
    network.reserve({ tokens: rows, training: true, checkpointing: false });
    writeTokens(device, network.tokens, arrays);
    using state = new StepState(device, { beta1: 0, beta2: 0 });
    state.begin({ step: 1, learningRate: 0, targetCount: COUNT });
    using program = new Program(device);
    network.recordTraining(program, rows, state);
    (await program.prepare()).run();
    losses.push(...new Float32Array(await device.read(network.rowLoss)).subarray(0, rows));
  }
  const gradients = new Float32Array(await device.read(network.parameters.gradients[0]));
  return { losses, gradients };
}

for (const [what, config] of Object.entries(FAMILIES)) {
  Deno.test(`packed documents are trained as the same documents alone: ${what}`, () =>
    withFolder(async (folder) => {
      await writeTinyModel(folder, { config });
      using model = await Model.load(folder, { device });
      const open = () => model.adapt(full(), { random: () => 0.5, gradients: true });
      const packed = await train(await open(), [packTokens(documents)]);
      const alone = await train(await open(), documents.map((document) => packTokens([document])));
      const error = relativeError(packed.losses, alone.losses);
      assert(error < 1e-6, `losses: ${error}`);
      const difference = relativeError(packed.gradients, alone.gradients);
      assert(difference < 1e-5, `gradients: ${difference}`);
    }));
}

/** Layers with windows. */
function layersOf(...windows: (number | null)[]): LayerPlan[] {
  return windows.map((window) => ({ attention: { window } }) as LayerPlan);
}

Deno.test("a window has documents of its own unless no token of the buffers can leave it", async () => {
  const before = device.allocatedBytes;
  const buffers = allocateTokens(device, 10, layersOf(null, 3, 9, 3, 10, 11));
  assertEquals([...buffers.windows.keys()], [3, 9]);
  for (const window of [null, 10, 11]) {
    assertEquals(documentsIn(buffers, window), buffers.documents);
  }
  writeTokens(device, buffers, packTokens([[1, 2, 3, 4], [5, 6, 7, 8, 9]]));
  const bounds = async (window: number | null, tokens = 9) => {
    const view = documentsIn(firstTokens(buffers, tokens), window);
    return [...new Uint32Array(await device.read(view))].slice(0, 2 * tokens);
  };
  assertEquals(
    await bounds(null),
    [0, 4, 0, 4, 0, 4, 0, 4, 4, 9, 4, 9, 4, 9, 4, 9, 4, 9],
  );
  assertEquals(await bounds(9), await bounds(null));
  assertEquals(
    await bounds(3),
    [0, 3, 0, 4, 0, 4, 1, 4, 4, 7, 4, 8, 4, 9, 5, 9, 6, 9],
  );
  assertEquals(await bounds(3, 2), [0, 3, 0, 4]);
  freeTokens(device, buffers);
  assertEquals(device.allocatedBytes, before);
});
