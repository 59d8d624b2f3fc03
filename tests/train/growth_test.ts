/** A training run holds as many bytes after many steps as after few. */

import { assert } from "@std/assert";
import { join } from "node:path";
import { getHeapSpaceStatistics } from "node:v8";
import { Dataset, falqon, Model, requestDevice, Trainer } from "../../mod.ts";
import { collectGarbage } from "../../src/garbage.ts";
import { withFolder } from "../support/io.ts";
import { CAN_COUNT_NATIVE_BYTES, nativeBytes } from "../support/memory.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const TINIEST = {
  num_hidden_layers: 1,
  hidden_size: 16,
  intermediate_size: 16,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  head_dim: 16,
};

/** Where the run is measured: kernels are compiled by the first. */
const [FIRST, LAST] = [400, 1200];

/**
 * What a step may add for good: less than the smallest thing that one could forget, some numbers of a step
 * in V8's heap or an encoder in the driver's.
 */
const HEAP_BYTES = 60;
const NATIVE_BYTES = 1000;

/** Spaces of V8's heap that are filled with code, as functions are found worth it: not with data. */
const CODE = /code|trusted/;

/** Bytes that are held when all garbage is collected. */
async function held(): Promise<{ heap: number; native: number }> {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 20)); // for what finalizers do
  }
  const heap = getHeapSpaceStatistics()
    .filter(({ space_name }) => !CODE.test(space_name))
    .reduce((sum, { space_used_size }) => sum + space_used_size, Deno.memoryUsage().external);
  return { heap, native: CAN_COUNT_NATIVE_BYTES ? nativeBytes() : 0 };
}

Deno.test("steps, read-backs and checkpoints leave nothing behind", async () => {
  await withFolder(async (folder) => {
    // The shared one keeps what is made on it, to free it after the test.
    await using device = await requestDevice();
    const data = join(folder, "data.jsonl");
    await writeTinyModel(folder, { config: TINIEST });
    await Deno.writeTextFile(data, '{"text":"abcdefghijklmnop"}\n'.repeat(100));
    using model = await Model.load(folder, { device });
    using trainer = await Trainer.create({
      model,
      data: Dataset.from(data),
      method: falqon({ rank: 4 }),
      batchSize: 1,
      sequenceLength: 16,
      steps: LAST + 10,
      learningRate: 1e-5,
      logEvery: 10,
      saveEvery: 50,
      outputDir: join(folder, "out"),
    });
    const measured: Awaited<ReturnType<typeof held>>[] = [];
    for await (const { step } of trainer.run()) {
      if (step === FIRST || step === LAST) measured.push(await held());
    }
    const [first, last] = measured;
    const heap = (last.heap - first.heap) / (LAST - FIRST);
    const native = (last.native - first.native) / (LAST - FIRST);
    assert(heap < HEAP_BYTES, `a step adds ${heap} bytes to the heap`);
    assert(native < NATIVE_BYTES, `a step adds ${native} bytes of native memory`);
  });
});
