/**
 * Trains the tiny model of `examples/tiny` from random weights: `deno task tiny:train`.
 *
 * Writes the corpus, makes a model folder with random weights (normal, standard deviation 0.02, the
 * norms 1), trains every parameter on it and puts `model.safetensors` beside the config in
 * `examples/tiny/model`. Takes a few minutes on a large GPU, hours on a CPU; `--steps` shortens it.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { join } from "node:path";
import { Dataset, evaluate, full, Model, requestDevice, Trainer } from "../../../mod.ts";
import { Random } from "../../../src/numerics/random.ts";
import { writeSafetensors } from "../../../src/io/safetensors.ts";
import { modelTensorShapes, readModelConfig } from "../../../src/model/config.ts";

const INITIAL_DEVIATION = 0.02;

const example = new URL("../", import.meta.url).pathname;
const flags = parseArgs(Deno.args, {
  string: ["steps", "batch-size", "learning-rate", "out"],
  default: {
    steps: "9000",
    "batch-size": "64",
    "learning-rate": "3e-3",
    out: join(example, "model"),
  },
});

await new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", new URL("make.ts", import.meta.url).pathname],
}).spawn().status;

const folder = await Deno.makeTempDir();
try {
  await writeRandomModel(join(example, "model"), folder);
  using device = await requestDevice();
  using model = await Model.load(folder, { device });
  const shape = { batchSize: Number(flags["batch-size"]), sequenceLength: 128 };
  using trainer = await Trainer.create({
    model,
    data: Dataset.from(join(example, "corpus/train.jsonl")),
    method: full(),
    ...shape,
    steps: Number(flags.steps),
    learningRate: Number(flags["learning-rate"]),
    schedule: "cosine",
    warmupSteps: 200,
    optimizer: { weightDecay: 0.1, beta2: 0.98 },
    seed: 1,
    logEvery: 200,
  });
  for await (const { step, loss, tokensPerSecond } of trainer.run()) {
    if (step % 200 === 0) {
      console.log(step, loss.toFixed(4), `${Math.round(tokensPerSecond)} tokens/s`);
    }
  }
  const heldOut = Dataset.from(join(example, "corpus/eval.jsonl"));
  console.log("held-out loss", (await evaluate(model, heldOut, shape)).loss);
  for await (const text of model.generate("", { maxNewTokens: 90, seed: 1 })) {
    Deno.stdout.writeSync(new TextEncoder().encode(text));
  }
  console.log();
  await trainer.save(join(folder, "trained"));
  await Deno.copyFile(
    join(folder, "trained", "model.safetensors"),
    join(flags.out, "model.safetensors"),
  );
} finally {
  await Deno.remove(folder, { recursive: true });
}

/** Copies a model folder and gives it random weights. */
async function writeRandomModel(from: string, to: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(from)) {
    if (isFile) await Deno.copyFile(join(from, name), join(to, name));
  }
  const random = new Random(1);
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
  const shapes = modelTensorShapes(await readModelConfig(from));
  await writeSafetensors(
    join(to, "model.safetensors"),
    [...shapes].map(([name, shape]) => ({
      name,
      dtype: "F32" as const,
      shape,
      data: () => {
        const length = shape.reduce((a, b) => a * b);
        const value = shape.length === 1 ? () => 1 : () => INITIAL_DEVIATION * normal();
        return new Uint8Array(Float32Array.from({ length }, value).buffer);
      },
    })),
  );
}
