/**
 * `deno task demo`: fine-tunes a small model with FALQON in int8, on whatever adapter the machine has.
 *
 * The model is that of `examples/tiny`, the data are questions in a form that it has never seen.
 * Shows the held-out loss and answers of the untuned int8 model before and of the trained one after, saves it,
 * and says how to go on.
 * About a minute on two CPU cores.
 *
 * @module
 */

import { Dataset, evaluate, falqon, frozenInt8, Model, requestDevice, Trainer } from "../mod.ts";
import { Progress } from "../src/cli/progress.ts";
import { processTerminal } from "../src/cli/terminal.ts";

const example = new URL("../examples/tiny/", import.meta.url).pathname;
const questions = [
  "Mia the horse has five carrots. She gets two more.\n" +
  "Question: How many carrots does Mia have now?\nAnswer:",
  "Lily the cow has a green kite. Ben the fox has a red drum.\n" +
  "Question: Is the kite red?\nAnswer:",
  "Pip the rabbit has a bell. He gives it to Nora the otter.\n" +
  "Question: Who has the bell now?\nAnswer:",
];

using device = await requestDevice();
console.log(`GPU: ${device.name}`);
using model = await Model.load(`${example}model`, { device });
const data = Dataset.from(`${example}instructions_train.jsonl`);
const heldOut = Dataset.from(`${example}instructions_eval.jsonl`);
const shape = { batchSize: 4, sequenceLength: 128 };

await model.use(frozenInt8());
const before = await evaluate(model, heldOut, shape);
console.log(`\nUntuned int8 model: held-out loss ${before.loss.toFixed(4)}. Its answers:`);
await answer();

const steps = 90;
console.log(`\nFine-tuning by FALQON: ${steps} steps of ${4 * 128} tokens`);
using trainer = await Trainer.create({
  model,
  data,
  method: falqon({ format: "int8", rank: 16 }),
  ...shape,
  steps,
  learningRate: 1e-2,
  schedule: "linear",
  warmupSteps: 6,
  seed: 1,
  logEvery: 4,
});
{
  using progress = new Progress(processTerminal(), {
    firstStep: 0,
    totalSteps: steps,
    logEvery: 20,
  });
  for await (const metrics of trainer.run()) progress.update(metrics);
}

const after = await evaluate(model, heldOut, shape);
console.log(`\nFine-tuned int8 model: held-out loss ${after.loss.toFixed(4)}. Its answers:`);
await answer();
const gain = 100 * (1 - after.loss / before.loss);
console.log(
  `\nHeld-out loss ${before.loss.toFixed(4)} → ${after.loss.toFixed(4)} (−${gain.toFixed(0)} %)`,
);

const output = ".tmp/demo";
await trainer.save(output, { overwrite: true });
console.log(`
The model is in ${output}. To go on:
  deno run -A cli.ts generate --model ${output} --prompt "Question: Where does an otter live?\nAnswer:"
  deno run -A cli.ts inspect ${output}
  deno run -A cli.ts train --model MODEL --data ROWS.jsonl --format int8   your own: README.md
(deno comes by npm install -g deno; npx -y deno@2.9.6 stands in its place)`);

/** Prints the model's answer to each question, the most likely tokens. */
async function answer() {
  for (const question of questions) {
    let text = "";
    for await (const piece of model.generate(question, { temperature: 0, maxNewTokens: 24 })) {
      text += piece;
    }
    console.log(`  ${question.replaceAll("\n", " ")}\n    →${text.split("\n")[0]}`);
  }
}
