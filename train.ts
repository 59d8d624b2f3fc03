/**
 * Fine-tunes a model with FALQON. Copy this file and change what you need; in your own project,
 * import from `jsr:@falqon/webgpu`.
 *
 * ```sh
 * deno run -A train.ts [MODEL_FOLDER TRAIN_FILE HELD_OUT_FILE]
 * ```
 *
 * @module
 */

import { Dataset, falqon, FalqonError, Model, requestDevice, Trainer } from "./mod.ts";

const example = (name: string) => new URL(`./examples/tiny/${name}`, import.meta.url).pathname;
const [
  modelFolder = example("model"),
  trainFile = example("instructions_train.jsonl"),
  heldOutFile = example("instructions_eval.jsonl"),
] = Deno.args;

try {
  await main();
} catch (error) {
  if (!(error instanceof FalqonError)) throw error;
  console.error(error.message); // one sentence, such as that ./out holds another run
  Deno.exit(1);
}

async function main() {
  using device = await requestDevice(); // { provider: "auto" } for tensor cores
  using model = await Model.load(modelFolder, { device });
  const heldOut = Dataset.from(heldOutFile);
  using trainer = await Trainer.create({
    model,
    data: Dataset.from(trainFile),
    method: falqon({ format: "int8", rank: 16 }),
    batchSize: 8,
    sequenceLength: 128,
    steps: 100,
    learningRate: 2e-3,
    outputDir: "./out",
  });

  const before = await trainer.evaluate(heldOut);
  for await (const { step, loss, tokensPerSecond } of trainer.run()) {
    console.log(`step ${step}: loss ${loss.toFixed(4)}, ${tokensPerSecond.toFixed(0)} tokens/s`);
  }
  await trainer.save("./out");
  const after = await trainer.evaluate(heldOut);
  console.log(`held-out loss: ${before.loss.toFixed(4)} before, ${after.loss.toFixed(4)} after`);
}
